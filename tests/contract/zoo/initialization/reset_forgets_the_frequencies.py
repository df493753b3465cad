"""A rotary mixer whose reset_parameters forgets its learned frequencies."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/104187"
TRIGGERS = {"INI005"}


class Broken(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.proj = nn.Parameter(torch.empty(width, width))
        self.frequencies = nn.Parameter(torch.randn(width))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.xavier_uniform_(self.proj)

    def forward(self, x):
        return (x @ self.proj) * (x * self.frequencies).cos()


class Sound(Broken):
    def reset_parameters(self):
        super().reset_parameters()
        nn.init.normal_(self.frequencies)


def inputs():
    return (torch.randn(5, 4),)
