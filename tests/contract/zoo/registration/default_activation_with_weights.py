"""A block whose default activation has a weight and is built once."""

import torch
from torch import nn

REFERENCE = "https://github.com/pyg-team/pytorch_geometric/pull/4978"
TRIGGERS = {"REG004"}


class Broken(nn.Module):
    def __init__(self, width=5, act=nn.PReLU()):  # noqa: B008 - the fault
        super().__init__()
        self.proj = nn.Linear(width, width)
        self.act = act

    def forward(self, x):
        return x + self.act(self.proj(x))


class Sound(Broken):
    def __init__(self, width=5, act=nn.PReLU):
        super().__init__(width, act())


def inputs():
    return (torch.randn(4, 5),)
