"""A layer whose helper object and result refer to each other."""

import torch
from torch import nn

REFERENCE = "https://github.com/dmlc/dgl/pull/1060"
TRIGGERS = {"PRF001"}


class Messages:
    def __init__(self, values):
        self.values = values


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def linked(self, messages):
        messages.values.messages = messages

    def forward(self, x, adjacency):
        messages = Messages(self.linear(x))
        self.linked(messages)
        return adjacency @ messages.values


class Sound(Broken):
    def linked(self, messages):
        pass


def inputs():
    return torch.randn(5, 6), torch.rand(5, 5)
