"""Counts the samples that it has seen in a Python number, for a log."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/124717"
TRIGGERS = {"CMP005"}
TIER = "full"


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.body = nn.Linear(dim, dim)
        self.seen = 0

    def forward(self, x):
        if self.training:
            self.note(x)
        return self.body(x).tanh()

    def note(self, x):
        self.seen += x.shape[0]


class Sound(Broken):
    def __init__(self):
        super().__init__()
        self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def note(self, x):
        self.count = self.count + x.shape[0]


def inputs():
    return (torch.randn(4, 6),)
