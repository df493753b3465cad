"""A Lipschitz layer that replaces its weight by a clipped one."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG012"}


class Broken(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width))

    def constrained(self):
        self.weight = nn.Parameter(self.weight.clamp(-0.5, 0.5))
        return self.weight

    def forward(self, x):
        return x @ self.constrained()


class Sound(Broken):
    def constrained(self):
        return self.weight.clamp(-0.5, 0.5)


def inputs():
    return (torch.randn(5, 4),)
