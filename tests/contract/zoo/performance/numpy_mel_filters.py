"""A mel filter bank whose matrix NumPy made."""

import numpy as np
import torch
from torch import nn

REFERENCE = "https://github.com/cvg/LightGlue/issues/186"
TRIGGERS = {"PRF003"}


class Broken(nn.Module):
    def __init__(self, num_bins=9, num_filters=4):
        super().__init__()
        centers = np.linspace(0.0, num_bins - 1.0, num_filters)
        distance = np.abs(np.arange(num_bins)[:, None] - centers) / (num_bins / num_filters)
        self.register_buffer("filters", self.converted(np.clip(1.0 - distance, 0.0, None)))

    def converted(self, table):
        return torch.from_numpy(table)

    def forward(self, power):
        return (power[..., None] * self.filters).sum(-2).float()


class Sound(Broken):
    def converted(self, table):
        return torch.from_numpy(table).float()


def inputs():
    return (torch.rand(3, 5, 9),)
