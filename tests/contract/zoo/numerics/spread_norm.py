"""A norm by the root of the variance, with its eps outside of the root."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/2421"
TRIGGERS = {"NUM001"}


class Broken(nn.Module):
    def __init__(self, num_features=8, eps=1e-3):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))

    def spread(self, x):
        return x.square().mean(-1, keepdim=True).sqrt() + self.eps

    def forward(self, x):
        x = x - x.mean(-1, keepdim=True)
        return x / self.spread(x) * self.weight


class Sound(Broken):
    def spread(self, x):
        return (x.square().mean(-1, keepdim=True) + self.eps).sqrt()


def inputs():
    return (torch.randn(4, 8),)
