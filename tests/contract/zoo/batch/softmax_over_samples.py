"""Attention weights that are normalised over the samples of the batch."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT001"}


class Broken(nn.Module):
    dim = 0

    def __init__(self, embed_dim=8):
        super().__init__()
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key = nn.Linear(embed_dim, embed_dim)
        self.value = nn.Linear(embed_dim, embed_dim)

    def forward(self, x):
        scores = self.query(x) @ self.key(x).transpose(1, 2) / x.shape[-1] ** 0.5
        return torch.softmax(scores, dim=self.dim) @ self.value(x)


class Sound(Broken):
    dim = -1


def inputs():
    return (torch.randn(4, 6, 8),)
