"""An instance normalization without eps: a constant image gives NaN."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NUM005"}


class Broken(nn.Module):
    eps = 0.0

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)

    def forward(self, x):
        y = self.conv(x)
        return (y - y.mean((2, 3), keepdim=True)) / (y.var((2, 3), keepdim=True) + self.eps).sqrt()


class Sound(Broken):
    eps = 1e-5


def inputs():
    return (torch.randn(2, 3, 6, 6),)
