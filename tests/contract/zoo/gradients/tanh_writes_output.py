"""A hyperbolic tangent that computes its slope inside the output that it saved."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD004"}


class WritesOutput(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.tanh()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad_output):
        (y,) = ctx.saved_tensors
        return y.detach().pow_(2).neg_().add_(1) * grad_output


class LeavesOutput(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.tanh()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad_output):
        (y,) = ctx.saved_tensors
        return (1 - y * y) * grad_output


class Broken(nn.Module):
    function = WritesOutput

    def __init__(self, num_features=6):
        super().__init__()
        self.linear = nn.Linear(num_features, num_features)

    def forward(self, x):
        return self.function.apply(self.linear(x))


class Sound(Broken):
    function = LeavesOutput


def inputs():
    return (torch.randn(4, 6),)
