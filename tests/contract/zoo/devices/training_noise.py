"""Noise that is drawn on the CPU, in training mode only."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/audio/pull/457"
TRIGGERS = {"DEV001"}


class Broken(nn.Module):
    def __init__(self, num_features=6):
        super().__init__()
        self.log_scale = nn.Parameter(torch.full((num_features,), -1.0))

    def noise(self, x):
        return torch.randn(x.shape)

    def forward(self, x):
        if self.training:
            x = x + self.log_scale.exp() * self.noise(x)
        return x * self.log_scale.sigmoid()


class Sound(Broken):
    def noise(self, x):
        return torch.randn_like(x)


def inputs():
    return (torch.randn(4, 6),)
