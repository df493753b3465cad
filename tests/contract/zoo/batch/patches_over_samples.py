"""A small vision transformer whose encoder was not told that the batch comes first."""

import torch
from torch import nn

REFERENCE = "https://github.com/jsbaan/transformer-from-scratch/pull/6"
TRIGGERS = {"BAT001"}


class Broken(nn.Module):
    batch_first = False

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.positions = nn.Parameter(torch.randn(1, 9, 8) * 0.02)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=self.batch_first)
        self.head = nn.Linear(8, 5)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.block(x).mean(dim=1))


class Sound(Broken):
    batch_first = True


def inputs():
    return (torch.randn(4, 3, 12, 12),)
