"""Computes with a view of its weight that was taken in the constructor."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"CMP007", "REG003"}


class Broken(nn.Module):
    def __init__(self, dim=6, num_classes=4):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, dim))
        self.rows = [self.weight.detach()]

    def forward(self, x):
        return x @ self.rows[0].T + 0 * (x @ self.weight.T)


class Sound(Broken):
    def forward(self, x):
        return x @ self.weight.T


def inputs():
    return (torch.randn(4, 6),)
