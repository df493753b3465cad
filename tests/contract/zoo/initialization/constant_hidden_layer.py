"""A perceptron whose weights all start at one value."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"INI002"}


class Broken(nn.Module):
    def __init__(self, width=4, hidden=6):
        super().__init__()
        self.hidden = nn.Linear(width, hidden, bias=False)
        self.out = nn.Linear(hidden, 2)
        self.start(self.hidden.weight)
        self.start(self.out.weight)

    def start(self, weight):
        nn.init.constant_(weight, 0.1)

    def forward(self, x):
        return self.out(self.hidden(x).tanh())


class Sound(Broken):
    def start(self, weight):
        nn.init.xavier_uniform_(weight)


def inputs():
    return (torch.randn(5, 4),)
