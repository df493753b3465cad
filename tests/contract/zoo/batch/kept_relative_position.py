"""A recency weight that is scaled to the first length it saw: later lengths get wrong values."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT004"}


class Broken(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, padding=1)
        self.length = None

    def last(self, x):
        self.length = self.length or x.shape[-1]
        return self.length

    def forward(self, x):
        place = torch.arange(x.shape[-1], dtype=x.dtype, device=x.device)
        return self.conv(x) * torch.exp((place - self.last(x)) / self.last(x))


class Sound(Broken):
    def last(self, x):
        return x.shape[-1]


def inputs():
    return (torch.randn(3, 4, 9),)
