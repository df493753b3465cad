"""Runs over the samples of a batch one by one."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/133653"
TRIGGERS = {"CMP004", "PRF002"}
TIER = "full"


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.query = nn.Linear(dim, dim)

    def forward(self, x):
        return torch.stack([self.one(x[i]) for i in range(x.shape[0])])

    def one(self, x):
        return (self.query(x) @ x.transpose(-2, -1)).softmax(-1) @ x


class Sound(Broken):
    def forward(self, x):
        return self.one(x)


def inputs():
    return (torch.randn(4, 5, 6),)
