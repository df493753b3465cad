"""Puts a new Parameter in place of the old one at every step."""

import torch
import torch.nn.functional as F
from torch import nn

REFERENCE = ""
TRIGGERS = {"DST001"}
TIER = "full"


class Broken(nn.Module):
    def __init__(self, dim=6, num_classes=4):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, dim))

    def forward(self, x):
        if self.training:
            self.weight = nn.Parameter(F.normalize(self.weight.detach(), dim=-1))
        return F.linear(x, F.normalize(self.weight, dim=-1))


class Sound(Broken):
    def forward(self, x):
        return F.linear(x, F.normalize(self.weight, dim=-1))


def inputs():
    return (torch.randn(4, 6),)
