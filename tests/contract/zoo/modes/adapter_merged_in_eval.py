"""A low-rank adapter that is merged into the weight by the first evaluation, and counted twice."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"MOD002"}


class Broken(nn.Module):
    def __init__(self, dim=6, rank=2):
        super().__init__()
        self.dim, self.rank = dim, rank
        self.base = nn.Linear(dim, dim)
        self.down = nn.Linear(dim, rank, bias=False)
        self.up = nn.Linear(rank, dim, bias=False)
        self.merged = False

    def forward(self, x):
        if not self.training and not self.merged:
            self.base.weight.data += self.up.weight.data @ self.down.weight.data
            self.merged = True
        if self.merged and not self.training:
            return self.base(x)
        return self.base(x) + self.up(self.down(x))


class Sound(Broken):
    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


def inputs():
    return (torch.randn(4, 6),)
