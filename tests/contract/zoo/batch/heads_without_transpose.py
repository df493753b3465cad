"""Multi-head attention that splits the heads by a view alone."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = "https://github.com/jsbaan/transformer-from-scratch/pull/6"
TRIGGERS = {"BAT008"}


class Broken(nn.Module):
    def __init__(self, embed_dim=8, num_heads=2):
        super().__init__()
        self.num_heads = num_heads
        self.project = nn.ModuleList(nn.Linear(embed_dim, embed_dim) for _ in range(3))
        self.out = nn.Linear(embed_dim, embed_dim)

    def split(self, x):
        return x.view(x.shape[0], self.num_heads, x.shape[1], -1)

    def merge(self, x):
        return x.reshape(x.shape[0], x.shape[2], -1)

    def forward(self, x):
        query, key, value = (self.split(linear(x)) for linear in self.project)
        return self.out(self.merge(F.scaled_dot_product_attention(query, key, value)))


class Sound(Broken):
    def split(self, x):
        return x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)

    def merge(self, x):
        return x.transpose(1, 2).flatten(2)


def inputs():
    return (torch.randn(2, 6, 8),)
