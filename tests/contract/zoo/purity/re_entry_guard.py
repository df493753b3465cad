"""A block with a guard against re-entry that an exception leaves closed."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR010"}


class Broken(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.running = False

    def guarded(self, x):
        y = self.conv(x)
        self.running = False
        return y

    def forward(self, x):
        if self.running:
            return x
        self.running = True
        return x + self.guarded(x)


class Sound(Broken):
    def guarded(self, x):
        try:
            return self.conv(x)
        finally:
            self.running = False


def inputs():
    return (torch.randn(2, 3, 5, 5),)
