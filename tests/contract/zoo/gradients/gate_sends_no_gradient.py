"""A swish that returns its gate too, and forgets the gradient that comes in through it."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD001"}


class ValueOnly(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        gate = x.sigmoid()
        ctx.save_for_backward(x)
        return x * gate, gate

    @staticmethod
    def backward(ctx, grad_value, grad_gate):
        (x,) = ctx.saved_tensors
        gate = x.sigmoid()
        return grad_value * (gate + x * gate * (1 - gate))


class ValueAndGate(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        gate = x.sigmoid()
        ctx.save_for_backward(x)
        return x * gate, gate

    @staticmethod
    def backward(ctx, grad_value, grad_gate):
        (x,) = ctx.saved_tensors
        gate = x.sigmoid()
        slope = gate * (1 - gate)
        return grad_value * (gate + x * slope) + grad_gate * slope


class Broken(nn.Module):
    function = ValueOnly

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 4)

    def forward(self, x):
        value, gate = self.function.apply(self.fc(x))
        return {"value": value, "gate": gate}


class Sound(Broken):
    function = ValueAndGate


def inputs():
    return (torch.randn(3, 5),)
