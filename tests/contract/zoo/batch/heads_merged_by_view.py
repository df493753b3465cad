"""Attention whose heads are split rightly, and merged without moving them back."""

import torch
from torch import nn

REFERENCE = "https://github.com/jsbaan/transformer-from-scratch/pull/6"
TRIGGERS = {"BAT008"}


class Broken(nn.Module):
    def __init__(self, embed_dim=8, num_heads=2):
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(embed_dim, embed_dim)
        self.out = nn.Linear(embed_dim, embed_dim)

    def merge(self, x, shape):
        return x.reshape(shape)

    def forward(self, x):
        heads = x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)
        query = self.query(x).view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)
        weights = torch.softmax(query @ heads.transpose(-2, -1), dim=-1)
        return self.out(self.merge(weights @ heads, x.shape))


class Sound(Broken):
    def merge(self, x, shape):
        return x.transpose(1, 2).reshape(shape)


def inputs():
    return (torch.randn(2, 6, 8),)
