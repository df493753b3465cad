"""A regression head whose column of outputs meets a row of targets."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NET006"}
LOSS = nn.MSELoss()
TARGET = torch.tensor([0.3, -1.0, 2.0, 0.7, 1.1])


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x):
        return self.body(x)


class Sound(Broken):
    def forward(self, x):
        return self.body(x).squeeze(-1)


def inputs():
    return (torch.randn(5, 4),)
