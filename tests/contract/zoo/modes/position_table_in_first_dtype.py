"""Sinusoidal positions that are kept in the dtype of the first call."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"MOD006"}


class Broken(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.dim = dim
        self.scale = nn.Parameter(torch.ones(dim))
        self.tables = {}

    def forward(self, x):
        return self.scale * x + self.table_for(x).to(x.dtype)

    def table_for(self, x):
        if x.shape[1] not in self.tables:
            self.tables[x.shape[1]] = self.table(x)
        return self.tables[x.shape[1]]

    def table(self, x):
        position = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
        step = torch.arange(self.dim, device=x.device, dtype=x.dtype)
        return torch.sin(position[:, None] * 0.5**step)


class Sound(Broken):
    def table_for(self, x):
        return self.table(x)


def inputs():
    return (torch.randn(3, 6, 8),)
