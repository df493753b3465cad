"""A block that goes back from tokens to an image of the height and width it saw first."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT004"}


class Broken(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.size = None

    def image_size(self, x):
        self.size = self.size or tuple(x.shape[2:])
        return self.size

    def forward(self, x):
        tokens = self.norm(x.flatten(2).transpose(1, 2))
        return x + self.conv(tokens.transpose(1, 2).unflatten(2, self.image_size(x)))


class Sound(Broken):
    def image_size(self, x):
        return tuple(x.shape[2:])


def inputs():
    return (torch.randn(2, 4, 6, 5),)
