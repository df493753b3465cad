"""A dropout that draws its mask again in backward, in training mode only."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD001"}


class DrawsAgain(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        keep = torch.rand_like(x) > 0.3
        return x * keep / 0.7

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output * (torch.rand_like(grad_output) > 0.3) / 0.7


class KeepsMask(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        keep = torch.rand_like(x) > 0.3
        ctx.save_for_backward(keep)
        return x * keep / 0.7

    @staticmethod
    def backward(ctx, grad_output):
        (keep,) = ctx.saved_tensors
        return grad_output * keep / 0.7


class Broken(nn.Module):
    function = DrawsAgain

    def __init__(self, num_features=6):
        super().__init__()
        self.norm = nn.BatchNorm1d(num_features)
        self.linear = nn.Linear(num_features, num_features)

    def forward(self, x):
        x = self.norm(self.linear(x))
        return self.function.apply(x) if self.training else x


class Sound(Broken):
    function = KeepsMask


def inputs():
    return (torch.randn(6, 6),)
