"""A fused activation that multiplies the slope it saved by what it receives, in place."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD005"}


class ReusesSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.slope = (x > 0).to(x.dtype) * 0.9 + 0.1
        return x * ctx.slope

    @staticmethod
    def backward(ctx, grad_output):
        return ctx.slope.mul_(grad_output).clone()


class KeepsSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.slope = (x > 0).to(x.dtype) * 0.9 + 0.1
        return x * ctx.slope

    @staticmethod
    def backward(ctx, grad_output):
        return ctx.slope * grad_output


class Broken(nn.Module):
    function = ReusesSlope

    def __init__(self, channels=3):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x):
        return self.function.apply(self.conv(x))


class Sound(Broken):
    function = KeepsSlope


def inputs():
    return (torch.randn(2, 3, 5, 5),)
