"""An activation that saves an intermediate result: the second derivative misses a term."""

import torch
import torch.nn.functional as F
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD002"}


class BrokenFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        t = F.softplus(x).tanh()
        ctx.save_for_backward(x, t)
        return x * t

    @staticmethod
    def backward(ctx, g):
        x, t = ctx.saved_tensors
        return g * (t + x * (1 - t * t) * x.sigmoid())


class SoundFunction(BrokenFunction):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * F.softplus(x).tanh()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        t = F.softplus(x).tanh()
        return g * (t + x * (1 - t * t) * x.sigmoid())


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
    return (torch.randn(3, 4),)
