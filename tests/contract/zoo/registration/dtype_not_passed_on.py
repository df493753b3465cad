"""A gated unit that passes dtype to one of its two projections."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG011"}


class Broken(nn.Module):
    passes_on = False

    def __init__(self, width=4, device=None, dtype=None):
        super().__init__()
        other = dtype if self.passes_on else None
        self.value = nn.Linear(width, width, device=device, dtype=dtype)
        self.gate = nn.Linear(width, width, device=device, dtype=other)

    def forward(self, x):
        return self.value(x) * self.gate(x).sigmoid()


class Sound(Broken):
    passes_on = True


def inputs():
    return (torch.randn(5, 4),)
