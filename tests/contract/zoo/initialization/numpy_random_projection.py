"""A random projection drawn by numpy, which torch's seed does not reach."""

import numpy as np
import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"INI004"}


class Broken(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.register_buffer("projection", self.draw(width))

    def draw(self, width):
        return torch.tensor(np.random.randn(width, width), dtype=torch.float32)

    def forward(self, x):
        return (x @ self.projection).cos()


class Sound(Broken):
    def draw(self, width):
        return torch.randn(width, width)


def inputs():
    return (torch.randn(5, 4),)
