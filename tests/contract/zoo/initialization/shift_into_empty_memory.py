"""A temporal shift that leaves the last step of its output unwritten."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"INI001"}


class Broken(nn.Module):
    def blank(self, x):
        return torch.empty_like(x)

    def forward(self, x):
        out = self.blank(x)
        out[:, :-1] = x[:, 1:]
        return out


class Sound(Broken):
    def blank(self, x):
        return torch.zeros_like(x)


def inputs():
    return (torch.randn(3, 5, 4),)
