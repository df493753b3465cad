"""Pixel normalisation in float16 with an eps that float16 rounds to zero."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"DTY004"}


class Broken(nn.Module):
    EPS = 1e-8

    def __init__(self, num_channels=4):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(num_channels, 1, 1).half())

    def forward(self, x):
        return self.gain * x * torch.rsqrt(x.square().mean(1, keepdim=True) + self.EPS)


class Sound(Broken):
    EPS = 1e-3


def inputs():
    return (torch.randn(3, 4, 5, 5).half(),)
