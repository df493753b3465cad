"""A residual block whose shortcut is a lambda when no projection is needed."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"SER001"}


class Broken(nn.Module):
    def __init__(self, in_channels=4, out_channels=4):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)
        self.shortcut = (
            self.identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1)
        )

    def identity(self):
        return lambda x: x

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)) + self.shortcut(x))


class Sound(Broken):
    def identity(self):
        return nn.Identity()


def inputs():
    return (torch.randn(4, 4, 6, 6),)
