"""Squeeze and excitation whose squeeze averages over the images too."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT001"}


class Broken(nn.Module):
    dims = (0, 2, 3)

    def __init__(self, channels=6):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)
        self.excite = nn.Linear(channels, channels)

    def forward(self, x):
        x = self.conv(x)
        gate = torch.sigmoid(self.excite(x.mean(self.dims)))
        return x * gate.view(-1, x.shape[1], 1, 1)


class Sound(Broken):
    dims = (2, 3)


def inputs():
    return (torch.randn(4, 3, 8, 8),)
