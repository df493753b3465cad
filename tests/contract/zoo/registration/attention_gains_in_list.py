"""Attention with one learned temperature a head, kept in a list."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/632"
TRIGGERS = {"REG002"}


class Broken(nn.Module):
    container = list

    def __init__(self, width=8, num_heads=2):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.num_heads = num_heads
        self.gains = self.container(nn.Parameter(torch.randn(1)) for _ in range(num_heads))

    def forward(self, x):
        query, key, value = self.qkv(x).chunk(3, -1)
        heads = []
        for head, (q, k, v) in enumerate(
            zip(*(part.chunk(self.num_heads, -1) for part in (query, key, value)), strict=True)
        ):
            scores = self.gains[head] * q @ k.transpose(-1, -2)
            heads.append(scores.softmax(-1) @ v)
        return torch.cat(heads, -1)


class Sound(Broken):
    container = nn.ParameterList


def inputs():
    return (torch.randn(3, 5, 8),)
