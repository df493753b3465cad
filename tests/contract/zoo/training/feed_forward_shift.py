"""A feed-forward block that declares a shift and never adds it."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/43259"
TRIGGERS = {"TRN001"}


class Broken(nn.Module):
    def __init__(self, dim=6, hidden=12):
        super().__init__()
        self.up = nn.Linear(dim, hidden)
        self.down = nn.Linear(hidden, dim)
        self.scale = nn.Parameter(torch.rand(dim) + 0.5)
        self.shift = nn.Parameter(torch.randn(dim))

    def forward(self, x):
        return x + self.scale * self.down(torch.relu(self.up(x)))


class Sound(Broken):
    def forward(self, x):
        return super().forward(x) + self.shift


def inputs():
    return (torch.randn(4, 6),)
