"""A codebook that becomes a parameter without a copy of the default."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG004"}


class Broken(nn.Module):
    def __init__(self, start=torch.eye(4)):  # noqa: B008 - the fault
        super().__init__()
        self.codes = nn.Parameter(start)

    def forward(self, x):
        return (x @ self.codes.t()).softmax(-1) @ self.codes


class Sound(Broken):
    def __init__(self, start=torch.eye(4)):  # noqa: B008 - it is copied
        super().__init__(start.clone())


def inputs():
    return (torch.randn(5, 4),)
