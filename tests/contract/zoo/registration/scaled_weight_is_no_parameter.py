"""A recurrent cell whose weight is scaled after it became a parameter."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG002"}


class Broken(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.read = nn.Linear(width, width)
        self.recurrent = nn.Parameter(torch.randn(width, width)) * 0.1

    def forward(self, x):
        state = torch.zeros_like(x[:, 0])
        for step in x.unbind(1):
            state = (self.read(step) + state @ self.recurrent).tanh()
        return state


class Sound(Broken):
    def __init__(self, width=4):
        super().__init__(width)
        del self.recurrent
        self.recurrent = nn.Parameter(torch.randn(width, width) * 0.1)


def inputs():
    return (torch.randn(3, 5, 4),)
