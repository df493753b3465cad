"""A group normalization that cuts the whole batch into groups."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT001"}


class Broken(nn.Module):
    def __init__(self, g=2, c=4):
        super().__init__()
        self.g = g
        self.w = nn.Parameter(torch.ones(c))
        self.conv = nn.Conv2d(3, c, 3)

    def split(self, y):
        return y.reshape(self.g, -1)

    def forward(self, x):
        y = self.conv(x)
        z = self.split(y)
        z = (z - z.mean(-1, keepdim=True)) / (z.var(-1, keepdim=True) + 1e-5).sqrt()
        return z.view_as(y) * self.w[:, None, None]


class Sound(Broken):
    def split(self, y):
        return y.reshape(y.shape[0], self.g, -1)


def inputs():
    return (torch.randn(4, 3, 6, 6),)
