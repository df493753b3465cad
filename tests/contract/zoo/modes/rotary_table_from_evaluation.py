"""Rotary attention whose table is made by the first call, whatever mode that runs in."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/115774"
TRIGGERS = {"MOD005"}


class Broken(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.dim = dim
        self.qkv = nn.Linear(dim, 3 * dim)
        self.tables = {}

    def forward(self, x):
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        table = self.table_for(x)
        scores = self.rotated(query, table) @ self.rotated(key, table).mT / self.dim**0.5
        return torch.softmax(scores, dim=-1) @ value

    def table_for(self, x):
        key = (x.shape[1], x.device, x.dtype)
        if key not in self.tables:
            self.tables[key] = self.table(x)
        return self.tables[key]

    def table(self, x):
        step = torch.arange(self.dim // 2, device=x.device, dtype=x.dtype)
        position = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
        angle = position[:, None] * 0.1**step
        return torch.stack([angle.cos(), angle.sin()])

    def rotated(self, x, table):
        (cos, sin), (left, right) = table, x.chunk(2, dim=-1)
        return torch.cat([left * cos - right * sin, left * sin + right * cos], dim=-1)


class Sound(Broken):
    def table_for(self, x):
        return self.table(x)


def inputs():
    return (torch.randn(3, 5, 8),)
