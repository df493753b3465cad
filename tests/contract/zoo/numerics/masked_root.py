"""A root behind torch.where: the branch that is not taken still sends NaN."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/68425"
TRIGGERS = {"NUM003"}


class Broken(nn.Module):
    def __init__(self, num_features=6):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(num_features))

    def root(self, x):
        return torch.where(x > 0.1, x.sqrt(), x)

    def forward(self, x):
        return self.root(x * self.gain)


class Sound(Broken):
    def root(self, x):
        return torch.where(x > 0.1, torch.where(x > 0.1, x, 1.0).sqrt(), x)


def inputs():
    return (torch.randn(4, 6),)
