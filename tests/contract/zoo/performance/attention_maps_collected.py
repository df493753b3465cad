"""Attention that appends its map to a list at each call."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PRF004"}


class Broken(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.maps = []

    def keep(self, weights):
        self.maps.append(weights)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        weights = (q @ k.transpose(1, 2) * q.shape[-1] ** -0.5).softmax(-1)
        self.keep(weights.detach())
        return weights @ v


class Sound(Broken):
    def keep(self, weights):
        self.maps = [weights]


def inputs():
    return (torch.randn(3, 5, 8),)
