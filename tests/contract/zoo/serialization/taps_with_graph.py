"""A convolutional stem that collects the activations of its stages for a plot."""

import torch
from torch import nn

REFERENCE = "https://github.com/KindXiaoming/pykan/issues/443"
TRIGGERS = {"SER005"}


class Broken(nn.Module):
    def __init__(self, in_channels=3, channels=4):
        super().__init__()
        self.in_channels, self.channels = in_channels, channels
        self.first = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.taps = {}

    def forward(self, x):
        x = torch.relu(self.first(x))
        self.tap("first", x)
        x = torch.relu(self.second(x))
        self.tap("second", x)
        return x

    def tap(self, name, x):
        self.taps[name] = x


class Sound(Broken):
    def tap(self, name, x):
        self.taps[name] = tuple(x.shape[1:])


def inputs():
    return (torch.randn(3, 3, 6, 6),)
