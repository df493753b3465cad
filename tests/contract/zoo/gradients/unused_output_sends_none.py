"""A rotary helper with two outputs that expects both gradients."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD011"}


class SinCosBoth(torch.autograd.Function):
    @staticmethod
    def forward(ctx, angle):
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(angle)
        return angle.sin(), angle.cos()

    @staticmethod
    def backward(ctx, grad_sin, grad_cos):
        (angle,) = ctx.saved_tensors
        return grad_sin * angle.cos() - grad_cos * angle.sin()


class SinCosEach(torch.autograd.Function):
    @staticmethod
    def forward(ctx, angle):
        ctx.save_for_backward(angle)
        return angle.sin(), angle.cos()

    @staticmethod
    def backward(ctx, grad_sin, grad_cos):
        (angle,) = ctx.saved_tensors
        return grad_sin * angle.cos() - grad_cos * angle.sin()


class Broken(nn.Module):
    function = SinCosBoth

    def __init__(self, num_features=6):
        super().__init__()
        self.frequency = nn.Parameter(torch.rand(num_features) + 0.5)

    def forward(self, x):
        sin, cos = self.function.apply(x * self.frequency)
        return torch.cat([sin, cos], -1)


class Sound(Broken):
    function = SinCosEach


def inputs():
    return (torch.randn(4, 6),)
