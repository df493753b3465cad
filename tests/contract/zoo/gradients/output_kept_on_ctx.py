"""A softmax that keeps its output on ctx."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/25340"
TRIGGERS = {"GRD006"}


class KeepsOutput(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.y = x.softmax(-1)
        return ctx.y

    @staticmethod
    def backward(ctx, grad_output):
        shared = (grad_output * ctx.y).sum(-1, keepdim=True)
        return ctx.y * (grad_output - shared)


class SavesOutput(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.softmax(-1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad_output):
        (y,) = ctx.saved_tensors
        shared = (grad_output * y).sum(-1, keepdim=True)
        return y * (grad_output - shared)


class Broken(nn.Module):
    function = KeepsOutput

    def __init__(self, num_features=6):
        super().__init__()
        self.linear = nn.Linear(num_features, num_features)

    def forward(self, x):
        return self.function.apply(self.linear(x))


class Sound(Broken):
    function = SavesOutput


def inputs():
    return (torch.randn(4, 6),)
