"""A standardized convolution that wraps its weight in a new Parameter."""

import torch
import torch.nn.functional as F
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD008", "REG007"}


class Broken(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, channels, 3, 3))
        self.gain = nn.Parameter(torch.rand(4, 1, 1, 1) + 0.5)

    def standardized(self):
        mean, std = (
            self.weight.mean((1, 2, 3), keepdim=True),
            self.weight.std((1, 2, 3), keepdim=True),
        )
        return nn.Parameter((self.weight - mean) / (std + 1e-5))

    def forward(self, x):
        return F.conv2d(x, self.gain * self.standardized())


class Sound(Broken):
    def standardized(self):
        mean, std = (
            self.weight.mean((1, 2, 3), keepdim=True),
            self.weight.std((1, 2, 3), keepdim=True),
        )
        return (self.weight - mean) / (std + 1e-5)


def inputs():
    return (torch.randn(2, 3, 6, 6),)
