"""A linear layer with a low-rank adapter that merges once for eval and never again."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = ""
TRIGGERS = {"TRN005", "MOD006"}


class Broken(nn.Module):
    def __init__(self, dim=6, rank=2):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(dim, dim) / dim**0.5)
        self.down = nn.Parameter(torch.randn(rank, dim) / dim**0.5)
        self.up = nn.Parameter(torch.randn(dim, rank) / rank**0.5)
        self.merged = None

    def forward(self, x):
        if self.training:
            return F.linear(x, self.weight + self.up @ self.down)
        if self.merged is None:
            self.merged = (self.weight + self.up @ self.down).detach()
        return F.linear(x, self.merged)


class Sound(Broken):
    def forward(self, x):
        return F.linear(x, self.weight + self.up @ self.down)


def inputs():
    return (torch.randn(4, 6),)
