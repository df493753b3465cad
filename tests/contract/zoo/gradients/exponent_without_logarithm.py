"""Generalised mean pooling: the gradient of the exponent lacks the logarithm."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD001"}


class Power(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, exponent):
        ctx.save_for_backward(x, exponent)
        return x.pow(exponent)

    @staticmethod
    def backward(ctx, grad_output):
        x, exponent = ctx.saved_tensors
        grad_x = grad_output * exponent * x.pow(exponent - 1)
        return grad_x, (grad_output * x.pow(exponent)).sum()


class PowerWithLogarithm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, exponent):
        ctx.save_for_backward(x, exponent)
        return x.pow(exponent)

    @staticmethod
    def backward(ctx, grad_output):
        x, exponent = ctx.saved_tensors
        grad_x = grad_output * exponent * x.pow(exponent - 1)
        return grad_x, (grad_output * x.pow(exponent) * x.log()).sum()


class Broken(nn.Module):
    function = Power

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.exponent = nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        positive = nn.functional.softplus(self.conv(x)) + 1e-3
        return self.function.apply(positive, self.exponent).mean((2, 3))


class Sound(Broken):
    function = PowerWithLogarithm


def inputs():
    return (torch.randn(2, 3, 5, 5),)
