"""A logsumexp whose gradient lies along the wrong dimension: seen only where both are equal."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD001"}


class BrokenFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.logsumexp(-1)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x.softmax(-1)


class SoundFunction(BrokenFunction):
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g.unsqueeze(-1) * x.softmax(-1)


class Broken(nn.Module):
    function = BrokenFunction

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 5)

    def forward(self, x):
        return self.function.apply(self.lin(x))


class Sound(Broken):
    function = SoundFunction


def inputs():
    return (torch.randn(5, 4),)
