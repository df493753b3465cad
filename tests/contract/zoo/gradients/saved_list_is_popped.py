"""A Function that pops what it needs from a list on ctx."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD005"}


class Pops(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.factors = [2.0, 3.0]
        return 6.0 * x

    @staticmethod
    def backward(ctx, grad_output):
        factor = 1.0
        while ctx.factors:
            factor *= ctx.factors.pop()
        return factor * grad_output


class Reads(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.factors = [2.0, 3.0]
        return 6.0 * x

    @staticmethod
    def backward(ctx, grad_output):
        factor = 1.0
        for item in ctx.factors:
            factor *= item
        return factor * grad_output


class Broken(nn.Module):
    function = Pops

    def __init__(self, num_features=6):
        super().__init__()
        self.linear = nn.Linear(num_features, num_features)

    def forward(self, x):
        return self.function.apply(self.linear(x))


class Sound(Broken):
    function = Reads


def inputs():
    return (torch.randn(4, 6),)
