"""A vector quantiser whose codes come from fresh entropy."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"INI004"}


class Broken(nn.Module):
    def __init__(self, num_codes=6, width=4):
        super().__init__()
        self.codes = nn.Parameter(self.draw(num_codes, width))

    def draw(self, *size):
        generator = torch.Generator()
        generator.seed()
        return torch.randn(size, generator=generator)

    def forward(self, x):
        return torch.cdist(x, self.codes).neg().softmax(-1) @ self.codes


class Sound(Broken):
    def draw(self, *size):
        return torch.randn(size)


def inputs():
    return (torch.randn(5, 4),)
