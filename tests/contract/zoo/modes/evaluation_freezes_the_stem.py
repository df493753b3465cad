"""A network that freezes its stem when it is evaluated, and never thaws it."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/11999"
TRIGGERS = {"MOD002"}


class Broken(nn.Module):
    def __init__(self, in_channels=3, channels=4):
        super().__init__()
        self.in_channels, self.channels = in_channels, channels
        self.stem = nn.Conv1d(in_channels, channels, 3, padding=1)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        if not self.training:
            self.stem.requires_grad_(False)
        return self.mix(torch.relu(self.stem(x)))


class Sound(Broken):
    def forward(self, x):
        return self.mix(torch.relu(self.stem(x)))


def inputs():
    return (torch.randn(4, 3, 7),)
