"""A squeeze-and-excitation block that reads its input through data."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD009"}


class Broken(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.squeeze = nn.Linear(channels, channels)

    def features(self, x):
        return x.data

    def forward(self, x):
        pooled = self.features(x).mean((2, 3))
        return self.features(x) * self.squeeze(pooled).sigmoid()[:, :, None, None]


class Sound(Broken):
    def features(self, x):
        return x


def inputs():
    return (torch.randn(3, 4, 5, 5),)
