"""A random-feature layer that seeds the whole process to get the same projection each time."""

import torch
from torch import nn

REFERENCE = "https://github.com/KindXiaoming/pykan/issues/424"
TRIGGERS = {"PUR009"}


class Broken(nn.Module):
    def __init__(self, in_features=6, num_features=12):
        super().__init__()
        self.shape = (in_features, num_features)
        self.linear = nn.Linear(num_features, 3)

    def projection(self, x):
        torch.manual_seed(17)
        return torch.randn(self.shape, device=x.device, dtype=x.dtype)

    def forward(self, x):
        return self.linear((x @ self.projection(x)).cos())


class Sound(Broken):
    def projection(self, x):
        generator = torch.Generator().manual_seed(17)
        drawn = torch.randn(self.shape, generator=generator)
        return drawn.to(device=x.device, dtype=x.dtype)


def inputs():
    return (torch.randn(4, 6),)
