"""A convolution that adds its weight noise to the parameter itself."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = ""
TRIGGERS = {"MOD004"}


class Broken(nn.Module):
    def __init__(self, in_channels=3, out_channels=4, std=0.05):
        super().__init__()
        self.in_channels, self.out_channels, self.std = in_channels, out_channels, std
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3) * 0.2)

    def forward(self, x):
        return F.conv2d(x, self.noisy_weight(), padding=1)

    def noisy_weight(self):
        if self.training:
            self.weight.data.add_(self.std * torch.randn_like(self.weight))
        return self.weight


class Sound(Broken):
    def noisy_weight(self):
        if self.training:
            return self.weight + self.std * torch.randn_like(self.weight)
        return self.weight


def inputs():
    return (torch.randn(4, 3, 6, 6),)
