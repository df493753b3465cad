"""Position ids for a table of positions, made without a device."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"DEV001"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.tok = nn.Embedding(20, 8)
        self.pos = nn.Embedding(16, 8)
        self.n = nn.LayerNorm(8)

    def places(self, t):
        return torch.arange(t.shape[1])

    def forward(self, t):
        return self.n(self.tok(t) + self.pos(self.places(t)))


class Sound(Broken):
    def places(self, t):
        return torch.arange(t.shape[1], device=t.device)


def inputs():
    return (torch.randint(0, 20, (2, 7)),)
