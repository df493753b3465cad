"""Sinusoidal positions whose table is guarded by a lock, which nothing can copy."""

import contextlib
import math
import threading

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"SER002"}


class Broken(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.dim = dim
        self.guard = self.make_guard()
        self.scale = nn.Parameter(torch.ones(dim))

    def make_guard(self):
        return threading.Lock()

    def forward(self, x):
        with self.guard:
            position = torch.arange(x.shape[1], device=x.device, dtype=x.dtype)
        step = torch.arange(0, self.dim, 2, device=x.device, dtype=x.dtype)
        angle = position[:, None] * torch.exp(-math.log(10_000.0) / self.dim * step)
        table = torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)
        return x + self.scale * table


class Sound(Broken):
    def make_guard(self):
        return contextlib.nullcontext()


def inputs():
    return (torch.randn(3, 5, 8),)
