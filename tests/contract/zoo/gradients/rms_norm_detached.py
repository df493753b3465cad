"""A normalization whose backward computes with detached values."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/104040"
TRIGGERS = {"GRD002"}


class Detached(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.square().mean(-1, keepdim=True).add(1e-6).rsqrt()

    @staticmethod
    def backward(ctx, grad_output):
        x = ctx.saved_tensors[0].detach()
        scale = x.square().mean(-1, keepdim=True).add(1e-6).rsqrt()
        shared = (grad_output * x).mean(-1, keepdim=True)
        return scale * grad_output - scale**3 * x * shared


class Attached(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x.square().mean(-1, keepdim=True).add(1e-6).rsqrt()

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        scale = x.square().mean(-1, keepdim=True).add(1e-6).rsqrt()
        shared = (grad_output * x).mean(-1, keepdim=True)
        return scale * grad_output - scale**3 * x * shared


class Broken(nn.Module):
    function = Detached

    def __init__(self, num_features=6):
        super().__init__()
        self.gain = nn.Parameter(torch.rand(num_features) + 0.5)

    def forward(self, x):
        return self.gain * self.function.apply(x)


class Sound(Broken):
    function = Attached


def inputs():
    return (torch.randn(4, 6),)
