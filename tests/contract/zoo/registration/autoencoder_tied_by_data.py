"""An autoencoder that ties the data of two weights."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG005"}


class Broken(nn.Module):
    def __init__(self, width=5, hidden=5):
        super().__init__()
        self.encode = nn.Linear(width, hidden)
        self.decode = nn.Linear(hidden, width)
        self.tie()

    def tie(self):
        self.decode.weight.data = self.encode.weight.data

    def forward(self, x):
        return self.decode(self.encode(x).relu())


class Sound(Broken):
    def tie(self):
        self.decode.weight = self.encode.weight


def inputs():
    return (torch.randn(4, 5),)
