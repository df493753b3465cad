"""A residual branch that Python's random squares in half of the training steps."""

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
        y = self.body(x)
        if self.training and self.draw() < 0.5:
            y = y.square()
        return x + y

    def draw(self):
        return random.random()


class Sound(Broken):
    def draw(self):
        return torch.rand(())


def inputs():
    return (torch.randn(4, 6),)
