"""A difference of two embeddings whose second gradient lacks the minus."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD001"}


class BrokenFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        return a - b

    @staticmethod
    def backward(ctx, g):
        return g, g


class SoundFunction(BrokenFunction):
    @staticmethod
    def backward(ctx, g):
        return g, -g


class Broken(nn.Module):
    function = BrokenFunction

    def __init__(self):
        super().__init__()
        self.p = nn.Linear(5, 4)
        self.q = nn.Linear(5, 4)

    def forward(self, a, b):
        return self.function.apply(self.p(a), self.q(b)).pow(2)


class Sound(Broken):
    function = SoundFunction


def inputs():
    return (torch.randn(3, 5), torch.randn(3, 5))
