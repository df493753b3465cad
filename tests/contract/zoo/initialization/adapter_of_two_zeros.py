"""A low-rank adapter both of whose factors start at zero."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"INI006"}


class Broken(nn.Module):
    def __init__(self, width=4, rank=2):
        super().__init__()
        self.base = nn.Linear(width, width)
        self.down = nn.Linear(width, rank, bias=False)
        self.up = nn.Linear(rank, width, bias=False)
        nn.init.zeros_(self.up.weight)
        self.start(self.down.weight)

    def start(self, weight):
        nn.init.zeros_(weight)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


class Sound(Broken):
    def start(self, weight):
        nn.init.kaiming_uniform_(weight)


def inputs():
    return (torch.randn(5, 4),)
