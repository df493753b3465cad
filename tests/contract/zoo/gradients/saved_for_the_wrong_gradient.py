"""A modulated layer that saves an argument only when the other one needs it not."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD013"}


class SavesTooLittle(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x if ctx.needs_input_grad[0] else None, weight)
        return x * weight

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        return grad_output * weight, (grad_output * x).sum(0)


class SavesBoth(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x * weight

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        return grad_output * weight, (grad_output * x).sum(0)


class Broken(nn.Module):
    function = SavesTooLittle

    def __init__(self, num_features=6):
        super().__init__()
        self.norm = nn.LayerNorm(num_features)
        self.weight = nn.Parameter(torch.rand(num_features) + 0.5)

    def forward(self, x):
        return self.function.apply(self.norm(x), self.weight)


class Sound(Broken):
    function = SavesBoth


def inputs():
    return (torch.randn(4, 6),)
