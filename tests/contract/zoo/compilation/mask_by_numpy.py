"""Masks features in training with numpy's random numbers."""

import numpy as np
import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"CMP008"}


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.body = nn.Linear(dim, dim)

    def forward(self, x):
        y = self.body(x)
        return y * self.mask(y) if self.training else y

    def mask(self, y):
        return torch.from_numpy(np.random.rand(*y.shape) < 0.8).to(y)


class Sound(Broken):
    def mask(self, y):
        return (torch.rand_like(y) < 0.8).to(y)


def inputs():
    return (torch.randn(4, 6),)
