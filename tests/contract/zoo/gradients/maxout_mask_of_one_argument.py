"""A maximum of two layers, in front of a batch normalization, with a mask of one argument alone."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD001"}


class BrokenFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return torch.maximum(a, b)

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        return g * (a >= b), g * (b > 0)


class SoundFunction(BrokenFunction):
    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        m = a >= b
        return g * m, g * ~m


class Broken(nn.Module):
    function = BrokenFunction

    def __init__(self):
        super().__init__()
        self.p = nn.Linear(5, 4)
        self.q = nn.Linear(5, 4)
        self.bn = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.bn(self.function.apply(self.p(x), self.q(x)))


class Sound(Broken):
    function = SoundFunction


def inputs():
    return (torch.randn(6, 5),)
