"""A swish that saves the slope that forward computed."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/76185"
TRIGGERS = {"GRD002"}


class KeepsSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        sigmoid = torch.sigmoid(x)
        ctx.save_for_backward(sigmoid * (1 + x * (1 - sigmoid)))
        return x * sigmoid

    @staticmethod
    def backward(ctx, grad_output):
        (slope,) = ctx.saved_tensors
        return grad_output * slope


class KeepsArgument(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        sigmoid = torch.sigmoid(x)
        return grad_output * sigmoid * (1 + x * (1 - sigmoid))


class Broken(nn.Module):
    function = KeepsSlope

    def __init__(self, num_features=6):
        super().__init__()
        self.linear = nn.Linear(num_features, num_features)

    def forward(self, x):
        return self.function.apply(self.linear(x))


class Sound(Broken):
    function = KeepsArgument


def inputs():
    return (torch.randn(4, 6),)
