"""A feature map that is normalised by a layer made in forward."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG007"}


class Broken(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.conv = nn.Conv1d(3, channels, 3, padding=1)
        self.norm = nn.GroupNorm(2, channels)

    def normalize(self, x):
        return nn.GroupNorm(2, x.shape[1])(x)

    def forward(self, x):
        return self.normalize(self.conv(x)).relu()


class Sound(Broken):
    def normalize(self, x):
        return self.norm(x)


def inputs():
    return (torch.randn(4, 3, 8),)
