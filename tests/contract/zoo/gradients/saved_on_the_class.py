"""A Function that keeps what backward needs on its class."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD012"}


class OnClass(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        OnClass.slope = 1 - x.detach().tanh() ** 2
        return x.tanh()

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output * OnClass.slope


class OnContext(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.tanh()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad_output):
        (y,) = ctx.saved_tensors
        return grad_output * (1 - y * y)


class Broken(nn.Module):
    function = OnClass

    def __init__(self, num_features=6):
        super().__init__()
        self.linear = nn.Linear(num_features, num_features)

    def forward(self, x):
        return self.function.apply(self.linear(x))


class Sound(Broken):
    function = OnContext


def inputs():
    return (torch.randn(4, 6),)
