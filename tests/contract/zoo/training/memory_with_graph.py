"""A recurrent cell that carries its memory as a buffer from one training batch to the next."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"TRN006"}


class Broken(nn.Module):
    def __init__(self, in_features=4, hidden=6):
        super().__init__()
        self.cell = nn.GRUCell(in_features, hidden)
        self.register_buffer("memory", torch.zeros(1, hidden))

    def kept(self, state):
        return state.mean(0, keepdim=True)

    def forward(self, x):
        state = self.cell(x, self.memory.expand(x.shape[0], -1))
        if self.training:
            self.memory = self.kept(state)
        return state


class Sound(Broken):
    def kept(self, state):
        return state.detach().mean(0, keepdim=True)


def inputs():
    return (torch.randn(3, 4),)
