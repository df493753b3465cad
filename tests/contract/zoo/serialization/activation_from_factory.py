"""A feed-forward layer that stores a function made by another function."""

import functools

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"SER001"}


def leaky(slope):
    def activation(x):
        return torch.where(x > 0, x, slope * x)

    return activation


def leaky_relu(x, slope):
    return torch.where(x > 0, x, slope * x)


class Broken(nn.Module):
    def __init__(self, dim=6, hidden_dim=12, slope=0.2):
        super().__init__()
        self.dim, self.hidden_dim, self.slope = dim, hidden_dim, slope
        self.up = nn.Linear(dim, hidden_dim)
        self.down = nn.Linear(hidden_dim, dim)
        self.activations = {"hidden": self.activation(slope)}

    def activation(self, slope):
        return leaky(slope)

    def forward(self, x):
        return self.down(self.activations["hidden"](self.up(x)))


class Sound(Broken):
    def activation(self, slope):
        return functools.partial(leaky_relu, slope=slope)


def inputs():
    return (torch.randn(5, 6),)
