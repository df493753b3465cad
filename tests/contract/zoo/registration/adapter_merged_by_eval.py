"""A low-rank adapter whose eval() makes a new weight."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG012"}


class Broken(nn.Module):
    def __init__(self, width=4, rank=2):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width) / width**0.5)
        self.down = nn.Parameter(torch.randn(width, rank) / width**0.5)
        self.up = nn.Parameter(torch.zeros(rank, width))

    def train(self, mode=True):
        with torch.no_grad():
            self.weight = nn.Parameter(self.weight.clone())
        return super().train(mode)

    def forward(self, x):
        return x @ (self.weight + self.down @ self.up)


class Sound(Broken):
    def train(self, mode=True):
        return nn.Module.train(self, mode)


def inputs():
    return (torch.randn(5, 4),)
