"""A convolution whose learned gain is applied by a hook that closes over the block."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"SER003"}


class Broken(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.channels = channels
        self.gain = nn.Parameter(torch.rand(channels, 1, 1) + 0.5)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv.register_forward_hook(lambda module, args, output: output * self.gain)

    def forward(self, x):
        return torch.relu(self.conv(x))


class Sound(Broken):
    def __init__(self, channels=4):
        super().__init__(channels)
        self.conv._forward_hooks.clear()

    def forward(self, x):
        return torch.relu(self.conv(x) * self.gain)


def inputs():
    return (torch.randn(3, 4, 6, 6),)
