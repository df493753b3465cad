"""Builds its projections in the constructor as functions that hold the weight."""

import functools

import torch
import torch.nn.functional as F
from torch import nn

REFERENCE = ""
TRIGGERS = {"CMP007", "DEV001", "SER006"}


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(dim, dim))
        self.project = functools.partial(F.linear, weight=self.weight)

    def forward(self, x):
        return x + self.project(x).tanh()


class Sound(Broken):
    def forward(self, x):
        return x + F.linear(x, self.weight).tanh()


def inputs():
    return (torch.randn(4, 6),)
