"""A transformer block that calls the forward of its parts, so that FSDP never gathers them."""

import torch
from torch import nn

REFERENCE = "https://github.com/mlfoundations/open_flamingo/issues/91"
TRIGGERS = {"PUR007"}


class Broken(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def branch(self, x):
        return self.mlp.forward(self.norm(x))

    def forward(self, x):
        return x + self.branch(x)


class Sound(Broken):
    def branch(self, x):
        return self.mlp(self.norm(x))


def inputs():
    return (torch.randn(3, 5, 8),)
