"""A feature extractor that registers its hook anew at each call."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PRF004"}


class Broken(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Conv2d(channels, channels, 3, padding=1)
        self.features = None

    def keep(self, module, args, output):
        self.features = output

    def forward(self, x):
        handle = self.stem.register_forward_hook(self.keep)
        y = self.body(torch.relu(self.stem(x)))
        y = y + self.features
        self.finish(handle)
        return y

    def finish(self, handle):
        self.features = None


class Sound(Broken):
    def finish(self, handle):
        self.features = None
        handle.remove()


def inputs():
    return (torch.randn(2, 3, 6, 6),)
