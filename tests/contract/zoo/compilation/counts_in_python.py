"""A gate that opens over the first steps, counted in a Python number."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/124717"
TRIGGERS = {"CMP005", "SER004"}
TIER = "full"


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.body = nn.Linear(dim, dim)
        self.steps = 0

    def forward(self, x):
        gate = min(1.0, (self.steps + 1) / 100)
        if self.training:
            self.steps += 1
        return x + gate * self.body(x)


class Sound(Broken):
    def __init__(self):
        super().__init__()
        self.register_buffer("done", torch.zeros(()))

    def forward(self, x):
        y = x + ((self.done + 1) / 100).clamp(max=1.0) * self.body(x)
        if self.training:
            self.done = self.done + 1
        return y


def inputs():
    return (torch.randn(4, 6),)
