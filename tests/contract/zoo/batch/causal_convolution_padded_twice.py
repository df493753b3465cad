"""A convolution over time that promises to be causal and pads on both sides."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = ""
TRIGGERS = {"BAT005"}
TRAITS = {"causal": True}


class Broken(nn.Module):
    def __init__(self, channels=4, kernel_size=3, dilation=2):
        super().__init__()
        self.reach = (kernel_size - 1) * dilation
        self.conv = nn.Conv1d(channels, channels, kernel_size, dilation=dilation)

    def padding(self):
        return self.reach // 2, self.reach // 2

    def forward(self, x):
        return self.conv(F.pad(x, self.padding()))


class Sound(Broken):
    def padding(self):
        return self.reach, 0


def inputs():
    return (torch.randn(3, 4, 9),)
