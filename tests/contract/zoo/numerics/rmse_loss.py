"""A root mean squared error whose gradient is NaN for a perfect prediction."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/4320"
TRIGGERS = {"NUM001"}


class Broken(nn.Module):
    EPS = 0.0

    def forward(self, prediction, target):
        return ((prediction - target).square().mean() + self.EPS).sqrt()


class Sound(Broken):
    EPS = 1e-6


def inputs():
    return torch.randn(4, 6), torch.randn(4, 6)
