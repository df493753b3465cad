"""An attention block that normalises its input and goes on with the input that is not."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = "https://github.com/pytorch/pytorch/issues/57776"
TRIGGERS = {"TRN001"}


class Broken(nn.Module):
    def __init__(self, dim=8, num_heads=2):
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def prepared(self, x):
        self.norm(x)
        return x

    def forward(self, x):
        batch, length, dim = x.shape
        qkv = self.qkv(self.prepared(x)).reshape(batch, length, 3, self.num_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return x + self.out(mixed.transpose(1, 2).reshape(batch, length, dim))


class Sound(Broken):
    def prepared(self, x):
        return self.norm(x)


def inputs():
    return (torch.randn(3, 5, 8),)
