"""Squared distances to centres by the expanded square."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NUM004"}


class Broken(nn.Module):
    def __init__(self, num_features=8, num_pairs=3):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(num_pairs))

    def squared(self, one, other):
        return one.square().sum(-1) + other.square().sum(-1) - 2 * (one * other).sum(-1)

    def forward(self, x):
        return self.squared(x[:, 1:], x[:, :-1]) * self.gain


class Sound(Broken):
    def squared(self, one, other):
        return (one - other).square().sum(-1)


def inputs():
    return (torch.randn(5, 4, 8),)
