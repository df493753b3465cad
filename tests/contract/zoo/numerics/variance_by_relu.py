"""A Gaussian likelihood whose variance comes out of a ReLU, and is zero for half of the samples."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = ""
TRIGGERS = {"NUM005"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean = nn.Linear(5, 3)
        self.spread = nn.Linear(5, 3)

    def variance(self, x):
        return self.spread(x).relu()

    def forward(self, x, y):
        variance = self.variance(x)
        return (variance.log() + (y - self.mean(x)).square() / variance).mean()


class Sound(Broken):
    def variance(self, x):
        return F.softplus(self.spread(x)) + 1e-2


def inputs():
    return torch.randn(6, 5), torch.randn(6, 3)
