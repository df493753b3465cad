"""A Function with two arguments that returns one gradient."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD010"}


class OneGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x * weight

    @staticmethod
    def backward(ctx, grad_output):
        _, weight = ctx.saved_tensors
        return grad_output * weight


class TwoGradients(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x * weight

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        return grad_output * weight, (grad_output * x).sum(0)


class Broken(nn.Module):
    function = OneGradient

    def __init__(self, num_features=6):
        super().__init__()
        self.norm = nn.LayerNorm(num_features)
        self.weight = nn.Parameter(torch.rand(num_features) + 0.5)

    def forward(self, x):
        return self.function.apply(self.norm(x), self.weight)


class Sound(Broken):
    function = TwoGradients


def inputs():
    return (torch.randn(4, 6),)
