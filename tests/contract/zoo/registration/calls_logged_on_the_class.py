"""A layer that logs activation means in a list on the class."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG010"}


class Broken(nn.Module):
    log = []  # noqa: RUF012 - the fault

    def __init__(self, width=5):
        super().__init__()
        self.proj = nn.Linear(width, width)

    def note(self, x):
        self.log.append(x.detach().abs().amax().item())

    def forward(self, x):
        x = self.proj(x).relu()
        self.note(x)
        return x


class Sound(Broken):
    def note(self, x):
        pass


def inputs():
    return (torch.randn(4, 5),)
