"""Contrast normalisation that divides a flat patch by zero."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NUM005"}


class Broken(nn.Module):
    EPS = 0.0

    def __init__(self, num_channels=3):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(num_channels, 1, 1))

    def forward(self, x):
        centred = x - x.mean(dim=(2, 3), keepdim=True)
        return self.gain * centred / (x.std(dim=(2, 3), keepdim=True) + self.EPS)


class Sound(Broken):
    EPS = 1e-3


def inputs():
    return (torch.randn(3, 3, 5, 5),)
