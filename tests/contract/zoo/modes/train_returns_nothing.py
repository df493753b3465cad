"""A convolutional block that keeps its batch norm frozen, and whose train() returns None."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"MOD001"}


class ConvBlock(nn.Module):
    def __init__(self, in_channels=3, out_channels=4):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


class Broken(ConvBlock):
    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()


class Sound(ConvBlock):
    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


def inputs():
    return (torch.randn(4, 3, 6, 6),)
