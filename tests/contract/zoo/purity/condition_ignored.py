"""A conditioned block that modulates with the features instead of the condition."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR006"}


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.modulation = nn.Linear(dim, 2 * dim)

    def source(self, x, condition):
        return x

    def forward(self, x, condition):
        scale, shift = self.modulation(self.source(x, condition)).chunk(2, -1)
        return self.norm(x) * (1.0 + scale) + shift


class Sound(Broken):
    def source(self, x, condition):
        return condition


def inputs():
    return torch.randn(4, 6), torch.randn(4, 6)
