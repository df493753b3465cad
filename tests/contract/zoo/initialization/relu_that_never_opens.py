"""A feed-forward block whose hidden bias keeps every ReLU closed."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"INI006"}


class Broken(nn.Module):
    start = -50.0

    def __init__(self, width=4, hidden=8):
        super().__init__()
        self.expand = nn.Linear(width, hidden)
        self.contract = nn.Linear(hidden, width)
        nn.init.constant_(self.expand.bias, self.start)

    def forward(self, x):
        return x + self.contract(self.expand(x).relu())


class Sound(Broken):
    start = 0.0


def inputs():
    return (torch.randn(16, 4),)
