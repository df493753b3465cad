"""A student whose teacher branch is trained nowhere, and not frozen."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/43259"
TRIGGERS = {"DST001"}
TIER = "full"
TRAITS = {"stops_gradient": True}


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.student = nn.Linear(dim, dim)
        self.teacher = nn.Linear(dim, dim)

    def forward(self, x):
        return (self.student(x) - self.teacher(x).detach()).square().mean(-1)


class Sound(Broken):
    def __init__(self):
        super().__init__()
        self.teacher.requires_grad_(False)


def inputs():
    return (torch.randn(4, 6),)
