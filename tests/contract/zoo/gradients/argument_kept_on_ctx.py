"""A recurrent gate that keeps its arguments on ctx."""

import torch
from torch import nn

REFERENCE = "https://github.com/asappresearch/sru/pull/171"
TRIGGERS = {"GRD006"}


class KeepsArguments(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gate):
        ctx.x, ctx.gate = x, gate
        return x * gate

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output * ctx.gate, grad_output * ctx.x


class SavesArguments(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, gate):
        ctx.save_for_backward(x, gate)
        return x * gate

    @staticmethod
    def backward(ctx, grad_output):
        x, gate = ctx.saved_tensors
        return grad_output * gate, grad_output * x


class Broken(nn.Module):
    function = KeepsArguments

    def __init__(self, num_features=6):
        super().__init__()
        self.gate = nn.Linear(num_features, num_features)

    def forward(self, x):
        return self.function.apply(x, self.gate(x).sigmoid())


class Sound(Broken):
    function = SavesArguments


def inputs():
    return (torch.randn(4, 6),)
