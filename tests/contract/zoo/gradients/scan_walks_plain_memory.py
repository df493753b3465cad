"""A cumulative sum whose backward walks the memory of what it receives."""

import torch
from torch import nn

REFERENCE = "https://github.com/Dao-AILab/flash-attention/issues/355"
TRIGGERS = {"GRD003"}


class WalksMemory(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.cumsum(-1)

    @staticmethod
    def backward(ctx, grad_output):
        rows = grad_output.as_strided(grad_output.shape, (grad_output.shape[-1], 1))
        return rows.flip(-1).cumsum(-1).flip(-1)


class AnyStrides(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.cumsum(-1)

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output.flip(-1).cumsum(-1).flip(-1)


class Broken(nn.Module):
    function = WalksMemory

    def __init__(self, num_features=6):
        super().__init__()
        self.linear = nn.Linear(num_features, num_features)

    def forward(self, x):
        return self.function.apply(self.linear(x))


class Sound(Broken):
    function = AnyStrides


def inputs():
    return (torch.randn(4, 6),)
