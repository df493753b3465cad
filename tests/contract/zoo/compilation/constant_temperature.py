"""Promises the compiler that a temperature is constant which comes from the input."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/169253"
TRIGGERS = {"CMP002"}
TIER = "full"


@torch.compiler.assume_constant_result
def temperature(x):
    return 1.0 + float(x.detach()[0, 0].abs())


class Broken(nn.Module):
    def __init__(self, dim=6, num_classes=4):
        super().__init__()
        self.head = nn.Linear(dim, num_classes)

    def forward(self, x):
        return self.head(x) / self.temperature(x)

    def temperature(self, x):
        return temperature(x)


class Sound(Broken):
    def temperature(self, x):
        return 1.0 + x.detach().abs()[:, :1]


def inputs():
    return (torch.randn(4, 6),)
