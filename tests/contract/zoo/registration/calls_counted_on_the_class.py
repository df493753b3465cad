"""A layer that counts its calls and the largest activation on the class."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG010"}


class Broken(nn.Module):
    calls = 0
    largest = 0.0

    def __init__(self, width=5):
        super().__init__()
        self.proj = nn.Linear(width, width)

    def note(self, x):
        Broken.calls += 1
        Broken.largest = max(Broken.largest, float(x.detach().amax()))

    def forward(self, x):
        x = self.proj(x).relu()
        self.note(x)
        return x


class Sound(Broken):
    def note(self, x):
        pass


def inputs():
    return (torch.randn(4, 5),)
