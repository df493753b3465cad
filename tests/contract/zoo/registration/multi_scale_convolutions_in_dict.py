"""Parallel convolutions by kernel size, kept in a plain dict."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/59925"
TRIGGERS = {"REG001"}


class Broken(nn.Module):
    def __init__(self, channels=3, kernel_sizes=(1, 3, 5)):
        super().__init__()
        self.branches = self.collect(
            {f"k{size}": nn.Conv1d(channels, 4, size, padding=size // 2) for size in kernel_sizes}
        )
        self.mix = nn.Conv1d(4 * len(kernel_sizes), channels, 1)

    def collect(self, branches):
        return branches

    def forward(self, x):
        return self.mix(torch.cat([branch(x).relu() for branch in self.branches.values()], 1))


class Sound(Broken):
    def collect(self, branches):
        return nn.ModuleDict(branches)


def inputs():
    return (torch.randn(4, 3, 9),)
