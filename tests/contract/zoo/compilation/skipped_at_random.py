"""A residual branch that Python's random leaves out in training."""

import random

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"CMP008"}


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(dim, dim), nn.Tanh())

    def forward(self, x):
        if self.training and self.draw() < 0.5:
            return x + 0 * self.body(x)
        return x + self.body(x)

    def draw(self):
        return random.random()


class Sound(Broken):
    def draw(self):
        return torch.rand(())


def inputs():
    return (torch.randn(4, 6),)
