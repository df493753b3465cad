"""Attention that keeps the padding mask of the first batch for all batches of that shape."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR004"}


class Broken(nn.Module):
    def __init__(self, vocabulary=9, dim=8):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.masks = {}

    def mask(self, ids):
        if ids.shape not in self.masks:
            self.masks[ids.shape] = (ids == 0)[:, None]
        return self.masks[ids.shape]

    def forward(self, ids):
        q, k, v = self.qkv(self.embedding(ids)).chunk(3, -1)
        scores = q @ k.transpose(1, 2) * q.shape[-1] ** -0.5
        return scores.masked_fill(self.mask(ids), float("-inf")).softmax(-1) @ v


class Sound(Broken):
    def mask(self, ids):
        return (ids == 0)[:, None]


def inputs():
    return (torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0], [5, 6, 7, 8]]),)
