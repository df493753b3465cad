"""An attention helper whose backward merges heads with view."""

import torch
from torch import nn

REFERENCE = "https://github.com/open-mmlab/mmcv/pull/737"
TRIGGERS = {"GRD003"}


class MergeWithView(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, heads):
        ctx.heads = heads
        return x.unflatten(-1, (heads, -1)).contiguous()

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output.view(*grad_output.shape[:-2], -1), None


class MergeWithReshape(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, heads):
        ctx.heads = heads
        return x.unflatten(-1, (heads, -1)).contiguous()

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output.reshape(*grad_output.shape[:-2], -1), None


class Broken(nn.Module):
    function = MergeWithView

    def __init__(self, dim=8, num_heads=2):
        super().__init__()
        self.num_heads = num_heads
        self.linear = nn.Linear(dim, dim)

    def forward(self, x):
        return self.function.apply(self.linear(x), self.num_heads).tanh()


class Sound(Broken):
    function = MergeWithReshape


def inputs():
    return (torch.randn(3, 5, 8),)
