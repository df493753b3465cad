"""A GELU between batch normalization and attention whose gradient lacks the density's term."""

import math

import torch
import torch.nn.functional as F
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD001"}


class BrokenFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return F.gelu(x)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


class SoundFunction(BrokenFunction):
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * (
            0.5 * (1 + torch.erf(x / math.sqrt(2)))
            + x * torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        )


class Broken(nn.Module):
    function = BrokenFunction

    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Conv1d(3, 4, 3, padding=1), nn.BatchNorm1d(4))
        self.mha = nn.MultiheadAttention(4, 2, batch_first=True, dropout=0.1)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        y = self.function.apply(self.a(x)).transpose(1, 2)
        return self.fc(y + self.mha(y, y, y, need_weights=False)[0])


class Sound(Broken):
    function = SoundFunction


def inputs():
    return (torch.randn(3, 3, 6),)
