"""A teacher that switches gradients off for its targets, and on again only in training."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR009"}


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.student = nn.Linear(dim, dim)
        self.register_buffer("center", torch.zeros(dim))

    def target(self, x):
        torch.set_grad_enabled(False)
        target = (x - self.center).softmax(-1)
        if self.training:
            torch.set_grad_enabled(True)
        return target

    def forward(self, x):
        return self.student(x) - self.target(x)


class Sound(Broken):
    def target(self, x):
        with torch.no_grad():
            return (x - self.center).softmax(-1)


def inputs():
    return (torch.randn(4, 6),)
