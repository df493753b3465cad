"""A pre-activation residual block whose activation overwrites the shortcut."""

import torch
from torch import nn

REFERENCE = "https://github.com/NVIDIA/earth2studio/issues/1133"
TRIGGERS = {"PUR001"}


class Broken(nn.Module):
    inplace_activation = True

    def __init__(self, channels=4):
        super().__init__()
        self.activation = nn.ReLU(inplace=self.inplace_activation)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.GroupNorm(2, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        out = self.conv1(self.activation(x))
        out = self.conv2(torch.relu(self.norm(out)))
        return x + out


class Sound(Broken):
    inplace_activation = False


def inputs():
    return (torch.randn(2, 4, 6, 6),)
