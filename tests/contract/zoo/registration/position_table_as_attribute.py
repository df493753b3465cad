"""Sinusoidal positions that stay on the CPU."""

import torch
from torch import nn

REFERENCE = "https://github.com/unit8co/darts/issues/3052"
TRIGGERS = {"REG003"}


def sinusoids(length, width):
    angle = torch.arange(length)[:, None] / 100.0 ** (torch.arange(0, width, 2) / width)
    return torch.cat([angle.sin(), angle.cos()], 1)


class Broken(nn.Module):
    def __init__(self, width=8, max_length=16):
        super().__init__()
        self.embed = nn.Embedding(11, width)
        self.keep(sinusoids(max_length, width))

    def keep(self, table):
        self.table = table

    def forward(self, tokens):
        return self.embed(tokens) + self.table[: tokens.shape[1]]


class Sound(Broken):
    def keep(self, table):
        self.register_buffer("table", table, persistent=False)


def inputs():
    return (torch.randint(0, 11, (4, 6)),)
