"""Attention whose dropout is made in forward and never hears of eval()."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG007"}


class Broken(nn.Module):
    def __init__(self, width=8, p=0.3):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.dropout = nn.Dropout(p)

    def drop(self, weights):
        return nn.Dropout(0.3)(weights)

    def forward(self, x):
        query, key, value = self.qkv(x).chunk(3, -1)
        weights = (query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5).softmax(-1)
        return self.drop(weights) @ value


class Sound(Broken):
    def drop(self, weights):
        return self.dropout(weights)


def inputs():
    return (torch.randn(3, 5, 8),)
