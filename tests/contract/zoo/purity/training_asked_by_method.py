"""`self.train` is a method, and always true: noise in eval mode, behind a batch normalization."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR005"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(6, 6)
        self.bn = nn.BatchNorm1d(6)

    def on(self):
        return self.train

    def forward(self, x):
        y = self.bn(self.lin(x))
        if self.on():
            y = y + 0.1 * torch.randn_like(y)
        return y


class Sound(Broken):
    def on(self):
        return self.training


def inputs():
    return (torch.randn(5, 6),)
