"""A rectifier that masks the gradient that it receives in place."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/81417"
TRIGGERS = {"GRD004"}


class WritesGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.clamp(min=0)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad_output):
        (y,) = ctx.saved_tensors
        grad_output[y == 0] = 0
        return grad_output


class ClonesGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.clamp(min=0)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad_output):
        (y,) = ctx.saved_tensors
        grad_input = grad_output.clone()
        grad_input[y == 0] = 0
        return grad_input


class Broken(nn.Module):
    function = WritesGradient

    def __init__(self, num_features=6):
        super().__init__()
        self.linear = nn.Linear(num_features, num_features)

    def forward(self, x):
        y = self.linear(x)
        return y + self.function.apply(y)


class Sound(Broken):
    function = ClonesGradient


def inputs():
    return (torch.randn(4, 6),)
