"""Attention with distance biases (ALiBi) that NumPy computes at each call."""

import numpy as np
import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PRF003"}


class Broken(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.qk = nn.Linear(dim, 2 * dim)
        self.value = nn.Linear(dim, dim)

    def bias(self, x):
        place = np.arange(x.shape[1])
        return torch.from_numpy(-0.5 * np.abs(place[:, None] - place)).to(x.device)

    def forward(self, x):
        q, k = self.qk(x).chunk(2, -1)
        scores = q @ k.transpose(1, 2) * q.shape[-1] ** -0.5
        weights = (scores + self.bias(x)).softmax(-1)
        return weights.to(x.dtype) @ self.value(x)


class Sound(Broken):
    def bias(self, x):
        place = torch.arange(x.shape[1], dtype=x.dtype, device=x.device)
        return -0.5 * (place[:, None] - place).abs()


def inputs():
    return (torch.randn(3, 5, 8),)
