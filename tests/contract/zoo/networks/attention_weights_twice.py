"""Attention whose scores come out of a function that has applied the softmax already."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NET008"}


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)

    def scores(self, query, key):
        return (query @ key.transpose(1, 2) / query.shape[-1] ** 0.5).softmax(dim=-1)

    def forward(self, x):
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        return self.scores(query, key).softmax(dim=-1) @ value


class Sound(Broken):
    def scores(self, query, key):
        return query @ key.transpose(1, 2) / query.shape[-1] ** 0.5


def inputs():
    return (torch.randn(3, 5, 6),)
