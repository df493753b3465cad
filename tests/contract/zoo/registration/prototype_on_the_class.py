"""A distance layer whose running prototype lies on the class."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG010"}


class Broken(nn.Module):
    bank = {}  # noqa: RUF012 - the fault

    def __init__(self, width=5):
        super().__init__()
        self.register_buffer("prototype", torch.zeros(width))

    def center(self, x):
        old = self.bank.get("prototype", 0.0)
        self.bank["prototype"] = 0.9 * old + 0.1 * x.detach().mean(0)
        return self.bank["prototype"]

    def forward(self, x):
        return x - self.center(x)


class Sound(Broken):
    def center(self, x):
        if self.training:
            self.prototype.lerp_(x.detach().mean(0), 0.1)
        return self.prototype


def inputs():
    return (torch.randn(4, 5),)
