"""Images with channels last that are brought to channels first by a view."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT008"}


class Broken(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, 5, 3)

    def channels_first(self, x):
        return x.view(x.shape[0], x.shape[3], x.shape[1], x.shape[2])

    def forward(self, x):
        return self.conv(self.channels_first(x)).relu()


class Sound(Broken):
    def channels_first(self, x):
        return x.permute(0, 3, 1, 2)


def inputs():
    return (torch.randn(2, 8, 6, 3),)
