"""A residual stack that keeps its blocks in a Python list."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/135640"
TRIGGERS = {"REG001"}


class Broken(nn.Module):
    container = list

    def __init__(self, width=6, depth=3):
        super().__init__()
        self.stem = nn.Linear(width, width)
        self.blocks = self.container(nn.Linear(width, width) for _ in range(depth))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(x).tanh()
        return x


class Sound(Broken):
    container = nn.ModuleList


def inputs():
    return (torch.randn(4, 6),)
