"""A convolution that pads its input in one buffer for all calls."""

import torch
import torch.nn.functional as F
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT003", "GRD012"}


class Broken(nn.Module):
    def __init__(self, channels=3, size=6):
        super().__init__()
        self.conv = nn.Conv2d(channels, 4, 3)
        self.size = size
        self.register_buffer(
            "padded", torch.zeros(2, channels, size + 2, size + 2), persistent=False
        )

    def pad(self, x):
        self.padded[:, :, 1:-1, 1:-1] = x.detach()
        return self.padded

    def forward(self, x):
        return self.conv(self.pad(x)) * x.mean((1, 2, 3), keepdim=True)


class Sound(Broken):
    def pad(self, x):
        return F.pad(x, (1, 1, 1, 1))


def inputs():
    return (torch.randn(2, 3, 6, 6),)
