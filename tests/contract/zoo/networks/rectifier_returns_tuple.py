"""A rectifier written with torch.max and a dimension, which returns values and indices."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NET001"}


class Rectifier(nn.Module):
    def forward(self, x):
        return torch.max(x, 0)


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(8, 16)
        self.act = Rectifier()
        self.fc2 = nn.Linear(16, 3)

    def forward(self, x):
        return self.fc2(self.act(self.fc1(x)))


class Sound(Broken):
    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()


def inputs():
    return (torch.randn(4, 8),)
