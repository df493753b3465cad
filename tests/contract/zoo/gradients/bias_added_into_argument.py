"""A fused bias that is added into the result of a convolution."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD007"}


class AddsInto(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bias):
        x += bias[:, None, None]
        return 1.0 * x

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output, grad_output.sum((0, 2, 3))


class AddsOutside(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, bias):
        return x + bias[:, None, None]

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output, grad_output.sum((0, 2, 3))


class Broken(nn.Module):
    function = AddsInto

    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, bias=False)
        self.bias = nn.Parameter(torch.randn(channels))

    def forward(self, x):
        return self.function.apply(self.conv(x), self.bias)


class Sound(Broken):
    function = AddsOutside


def inputs():
    return (torch.randn(2, 3, 5, 5),)
