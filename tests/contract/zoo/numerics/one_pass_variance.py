"""A layer norm that computes its variance in one pass."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NUM004"}


class Broken(nn.Module):
    def __init__(self, num_features=16, eps=1e-3):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))

    def variance(self, x, mean):
        return (x.square().mean(-1, keepdim=True) - mean.square()).clamp(min=0.0)

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        return (x - mean) * (self.variance(x, mean) + self.eps).rsqrt() * self.weight


class Sound(Broken):
    def variance(self, x, mean):
        return (x - mean).square().mean(-1, keepdim=True)


def inputs():
    return (torch.randn(5, 16),)
