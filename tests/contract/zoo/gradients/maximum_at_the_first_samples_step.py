"""A maximum over time whose gradient goes where the first sample had its own."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD001"}


class FirstIndex(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        values, index = x.max(1)
        ctx.save_for_backward(index)
        ctx.shape = x.shape
        return values

    @staticmethod
    def backward(ctx, grad_output):
        (index,) = ctx.saved_tensors
        index = index[:1].expand_as(index)
        grad = grad_output.new_zeros(ctx.shape)
        return grad.scatter(1, index.unsqueeze(1), grad_output.unsqueeze(1))


class OwnIndex(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        values, index = x.max(1)
        ctx.save_for_backward(index)
        ctx.shape = x.shape
        return values

    @staticmethod
    def backward(ctx, grad_output):
        (index,) = ctx.saved_tensors
        grad = grad_output.new_zeros(ctx.shape)
        return grad.scatter(1, index.unsqueeze(1), grad_output.unsqueeze(1))


class Broken(nn.Module):
    function = FirstIndex

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 6)

    def forward(self, x):
        return self.function.apply(self.fc(x))


class Sound(Broken):
    function = OwnIndex


def inputs():
    return (torch.randn(3, 5, 4),)
