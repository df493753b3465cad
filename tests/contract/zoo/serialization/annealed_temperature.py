"""A temperature that training lowers is a number on self, and in no state dict."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"SER004"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(6, 6)
        self.tau = 2.0

    def forward(self, x):
        if self.training:
            self.tau = max(0.5, self.tau * 0.9)
        return (self.lin(x) / self.tau).softmax(-1)


class Sound(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(6, 6)
        self.register_buffer("tau", torch.tensor(2.0))

    def forward(self, x):
        if self.training:
            self.tau.mul_(0.9).clamp_(min=0.5)
        return (self.lin(x) / self.tau).softmax(-1)


def inputs():
    return (torch.randn(4, 6),)
