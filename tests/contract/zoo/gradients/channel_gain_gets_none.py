"""A gain for each channel: backward returns None in its place."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD008"}


class InputOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gain):
        ctx.save_for_backward(x, gain)
        return x * gain

    @staticmethod
    def backward(ctx, grad_output):
        _, gain = ctx.saved_tensors
        return grad_output * gain, None


class Both(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gain):
        ctx.save_for_backward(x, gain)
        return x * gain

    @staticmethod
    def backward(ctx, grad_output):
        x, gain = ctx.saved_tensors
        return grad_output * gain, (grad_output * x).flatten(0, -2).sum(0)


class Broken(nn.Module):
    function = InputOnly

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 5)
        self.gain = nn.Parameter(torch.rand(5) + 0.5)

    def forward(self, x):
        return self.function.apply(self.fc(x), self.gain)


class Sound(Broken):
    function = Both


def inputs():
    return (torch.randn(3, 4, 5),)
