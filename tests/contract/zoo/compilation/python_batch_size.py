"""Scales with a Python number that is made from the size of the batch."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/150842"
TRIGGERS = {"CMP004"}
TIER = "full"


class Broken(nn.Module):
    def __init__(self, dim=8, num_heads=2):
        super().__init__()
        self.num_heads = num_heads
        self.value = nn.Linear(dim, dim)

    def forward(self, x):
        batch = self.size(x)
        heads = self.value(x).view(batch, -1, self.num_heads, x.shape[-1] // self.num_heads)
        return heads.transpose(1, 2).softmax(-1)

    def size(self, x):
        return int(x.shape[0])


class Sound(Broken):
    def size(self, x):
        return x.shape[0]


def inputs():
    return (torch.randn(4, 5, 8),)
