"""A dropout of its own that scales in forward and forgets to in backward, in training only."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD001"}


class BrokenFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, p):
        m = (torch.rand_like(x) >= p).to(x.dtype)
        ctx.save_for_backward(m)
        ctx.p = p
        return x * m / (1 - p)

    @staticmethod
    def backward(ctx, g):
        (m,) = ctx.saved_tensors
        return g * m, None


class SoundFunction(BrokenFunction):
    @staticmethod
    def backward(ctx, g):
        (m,) = ctx.saved_tensors
        return g * m / (1 - ctx.p), None


class Broken(nn.Module):
    function = BrokenFunction

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(5, 6)
        self.out = nn.Linear(6, 2)

    def forward(self, x):
        y = self.lin(x).tanh()
        return self.out(self.function.apply(y, 0.3) if self.training else y)


class Sound(Broken):
    function = SoundFunction


def inputs():
    return (torch.randn(5, 5),)
