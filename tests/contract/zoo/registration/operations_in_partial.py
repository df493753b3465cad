"""A mixture of operations, with the layers inside of `functools.partial`."""

from functools import partial

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/59925"
TRIGGERS = {"REG001"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.operations = self.table()
        self.alpha = nn.Parameter(torch.zeros(2))

    def table(self):
        return [partial(nn.Conv2d(3, 4, 3, padding=1)), partial(nn.Conv2d(3, 4, 1))]

    def forward(self, x):
        weights = self.alpha.softmax(0)
        return sum(weights[i] * operation(x) for i, operation in enumerate(self.operations))


class Sound(Broken):
    def table(self):
        return nn.ModuleList([nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)])


def inputs():
    return (torch.randn(2, 3, 5, 5),)
