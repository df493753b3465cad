"""A backward that calls view: gradients of a sum are expanded, and have no such view."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD003"}


class BrokenFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return (g.view(-1) * x.reshape(-1).cos()).view(x.shape)


class SoundFunction(BrokenFunction):
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x.cos()


class Broken(nn.Module):
    function = BrokenFunction

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(4, 6)

    def forward(self, x):
        return self.function.apply(self.lin(x))


class Sound(Broken):
    function = SoundFunction


def inputs():
    return (torch.randn(3, 4),)
