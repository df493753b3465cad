"""A padding layer that never writes the border of the memory that it allocates."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR011"}


class Broken(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3)

    def canvas(self, x, shape):
        return torch.empty(shape, dtype=x.dtype, device=x.device)

    def forward(self, x):
        batch, channels, height, width = x.shape
        padded = self.canvas(x, (batch, channels, height + 2, width + 2))
        padded[:, :, 1:-1, 1:-1] = x
        return self.conv(padded)


class Sound(Broken):
    def canvas(self, x, shape):
        return torch.zeros(shape, dtype=x.dtype, device=x.device)


def inputs():
    return (torch.randn(2, 3, 5, 5),)
