"""Stochastic depth whose mask is made for images and meets channels-first sequences."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"MOD008"}


class Broken(nn.Module):
    def __init__(self, channels=4, drop_prob=0.2):
        super().__init__()
        self.channels, self.drop_prob = channels, drop_prob
        self.conv = nn.Conv1d(channels, channels, 3, padding=1)

    def forward(self, x):
        branch = torch.relu(self.conv(x))
        if self.training:
            kept = torch.rand(self.mask_shape(x), device=x.device) > self.drop_prob
            branch = branch * kept / (1 - self.drop_prob)
        return x + branch

    def mask_shape(self, x):
        return (x.shape[0], x.shape[1])


class Sound(Broken):
    def mask_shape(self, x):
        return (x.shape[0], 1, 1)


def inputs():
    return (torch.randn(6, 4, 7),)
