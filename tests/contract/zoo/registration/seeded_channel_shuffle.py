"""A channel shuffle that seeds Python's generator for the sake of a fixed order."""

import random

import torch
from torch import nn

REFERENCE = "https://github.com/HazyResearch/flash-fft-conv/issues/26"
TRIGGERS = {"REG009"}


class Broken(nn.Module):
    def __init__(self, channels=6):
        super().__init__()
        self.register_buffer("order", torch.tensor(self.shuffled(channels)))
        self.mix = nn.Conv1d(channels, channels, 1)

    def shuffled(self, channels):
        random.seed(7)
        return random.sample(range(channels), channels)

    def forward(self, x):
        return self.mix(x[:, self.order])


class Sound(Broken):
    def shuffled(self, channels):
        return random.Random(7).sample(range(channels), channels)


def inputs():
    return (torch.randn(4, 6, 5),)
