"""Random Fourier features that seed torch in the constructor."""

import torch
from torch import nn

REFERENCE = "https://github.com/KindXiaoming/pykan/issues/424"
TRIGGERS = {"REG009"}


class Broken(nn.Module):
    def __init__(self, width=4, num_features=8):
        super().__init__()
        self.register_buffer("directions", self.draw(width, num_features))

    def draw(self, *size):
        torch.manual_seed(42)
        return torch.randn(size)

    def forward(self, x):
        angle = x @ self.directions
        return torch.cat([angle.sin(), angle.cos()], -1)


class Sound(Broken):
    def draw(self, *size):
        return torch.randn(size, generator=torch.Generator().manual_seed(42))


def inputs():
    return (torch.randn(5, 4),)
