"""A gate in Python: which branch runs depends on the values of the input."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/115774"
TRIGGERS = {"CMP001"}
TIER = "full"


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.body = nn.Linear(dim, dim)
        self.limit = 3.0

    def forward(self, x):
        if bool(x.abs().max() > self.limit):
            x = x.clamp(-self.limit, self.limit)
        return self.body(x)


class Sound(Broken):
    def forward(self, x):
        return self.body(x.clamp(-self.limit, self.limit))


def inputs():
    return (torch.randn(4, 6),)
