"""A positive scale by a softplus that is written out."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NUM002"}


class Broken(nn.Module):
    def __init__(self, num_features=6):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(num_features))

    def positive(self, x):
        return torch.log(1 + torch.exp(x))

    def forward(self, x):
        return self.positive(x + self.shift)


class Sound(Broken):
    def positive(self, x):
        return nn.functional.softplus(x)


def inputs():
    return (2.0 * torch.randn(5, 6),)
