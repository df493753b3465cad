"""A dense block whose weights are far too small: a note, which is no root cause."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = set()


class Broken(nn.Module):
    std = 1e-4

    def __init__(self, width=32):
        super().__init__()
        self.proj = nn.Linear(width, width, bias=False)
        nn.init.normal_(self.proj.weight, std=self.std)

    def forward(self, x):
        return self.proj(x)


class Sound(Broken):
    std = 0.2


def inputs():
    return (torch.randn(8, 32),)
