"""A learned gain whose gradient is a mean over the batch."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD001"}


class GainMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x * weight

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        return grad_output * weight, (grad_output * x).mean(0)


class GainSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x * weight

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        return grad_output * weight, (grad_output * x).sum(0)


class Broken(nn.Module):
    function = GainMean

    def __init__(self, num_features=6):
        super().__init__()
        self.norm = nn.LayerNorm(num_features)
        self.weight = nn.Parameter(torch.rand(num_features) + 0.5)

    def forward(self, x):
        return self.function.apply(self.norm(x), self.weight)


class Sound(Broken):
    function = GainSum


def inputs():
    return (torch.randn(4, 6),)
