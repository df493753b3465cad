"""A hashing head that returns signs, which have no slope."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"TRN002"}


class Broken(nn.Module):
    def __init__(self, in_features=10, num_bits=4):
        super().__init__()
        self.hidden = nn.Linear(in_features, 16)
        self.code = nn.Linear(16, num_bits)

    def binary(self, x):
        return torch.round(torch.sigmoid(x))

    def forward(self, x):
        return self.binary(self.code(torch.tanh(self.hidden(x))))


class Sound(Broken):
    def binary(self, x):
        soft = torch.sigmoid(x)
        return soft + (soft.round() - soft).detach()


def inputs():
    return (torch.randn(4, 10),)
