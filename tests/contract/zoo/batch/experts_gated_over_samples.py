"""Conditional convolution whose gates are a softmax over the samples."""

import torch
import torch.nn.functional as F
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT001"}


class Broken(nn.Module):
    def __init__(self, e=3):
        super().__init__()
        self.w = nn.Parameter(torch.randn(e, 4, 3, 3, 3) * 0.2)
        self.route = nn.Linear(3, e)

    def gates(self, x):
        return self.route(x.mean((2, 3))).softmax(0)

    def forward(self, x):
        b, c, h, w = x.shape
        k = torch.einsum("be,eoihw->boihw", self.gates(x), self.w).flatten(0, 1)
        return F.conv2d(x.reshape(1, b * c, h, w), k, padding=1, groups=b).view(b, 4, h, w)


class Sound(Broken):
    def gates(self, x):
        return self.route(x.mean((2, 3))).softmax(1)


def inputs():
    return (torch.randn(3, 3, 5, 5),)
