"""A residual branch behind a learned gate that is a single number, as in ReZero."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/pull/132934"
TRIGGERS = {"DST002"}
PREVIEW = ("DST002",)


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mix = nn.Linear(dim, dim)
        self.gate = nn.Parameter(torch.tensor(0.1))

    def forward(self, x):
        return x + self.gate * self.mix(self.norm(x)).relu()


class Sound(Broken):
    def __init__(self, dim=6):
        super().__init__(dim)
        self.gate = nn.Parameter(torch.full((1,), 0.1))


def inputs():
    return (torch.randn(4, 5, 6),)
