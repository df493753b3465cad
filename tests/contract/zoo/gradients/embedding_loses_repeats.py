"""An embedding of its own whose backward adds in place by index: repeated tokens count once."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD001"}


class BrokenFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, w, i):
        ctx.save_for_backward(i)
        ctx.n = w.shape
        return w[i]

    @staticmethod
    def backward(ctx, g):
        (i,) = ctx.saved_tensors
        d = g.new_zeros(ctx.n)
        d[i] += g
        return d, None


class SoundFunction(BrokenFunction):
    @staticmethod
    def backward(ctx, g):
        (i,) = ctx.saved_tensors
        d = g.new_zeros(ctx.n)
        return d.index_put((i,), g, accumulate=True), None


class Broken(nn.Module):
    function = BrokenFunction

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(6, 4))
        self.fc = nn.Linear(4, 3)

    def forward(self, t):
        return self.fc(self.function.apply(self.w, t))


class Sound(Broken):
    function = SoundFunction


def inputs():
    return (torch.randint(0, 6, (3, 5)),)
