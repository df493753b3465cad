"""A recurrent layer that gets (length, batch, features) by a view instead of a transposition."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT001"}


class Broken(nn.Module):
    def __init__(self, features=6, hidden=5):
        super().__init__()
        self.cell = nn.GRU(features, hidden)
        self.head = nn.Linear(hidden, 3)

    def time_first(self, x):
        return x.reshape(x.shape[1], x.shape[0], x.shape[2])

    def forward(self, x):
        out, _ = self.cell(self.time_first(x))
        return self.head(out[-1])


class Sound(Broken):
    def time_first(self, x):
        return x.transpose(0, 1)


def inputs():
    return (torch.randn(4, 9, 6),)
