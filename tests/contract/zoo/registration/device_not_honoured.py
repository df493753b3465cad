"""A bias table for attention that is made on the CPU whatever device says."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG011"}


class Broken(nn.Module):
    def __init__(self, width=4, length=5, device=None):
        super().__init__()
        self.qk = nn.Linear(width, 2 * width, device=device)
        self.bias = nn.Parameter(self.table(length, device))

    def table(self, length, device):
        del device
        return 0.02 * torch.randn(length, length)

    def forward(self, x):
        query, key = self.qk(x).chunk(2, -1)
        return (query @ key.transpose(-1, -2) + self.bias).softmax(-1) @ x


class Sound(Broken):
    def table(self, length, device):
        return 0.02 * torch.randn(length, length, device=device)


def inputs():
    return (torch.randn(3, 5, 4),)
