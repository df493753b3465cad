"""A scan that returns outputs and last state, and forgets outputs when no loss uses the state."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD011"}


class DropsOutputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x.cumsum(1), x.sum(1)

    @staticmethod
    def backward(ctx, grad_outputs, grad_state):
        if grad_state is None:
            return torch.zeros_like(grad_outputs)
        grad = torch.zeros_like(grad_state)[:, None] if grad_outputs is None else grad_outputs
        return grad.flip(1).cumsum(1).flip(1) + grad_state[:, None]


class KeepsOutputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.cumsum(1), x.sum(1)

    @staticmethod
    def backward(ctx, grad_outputs, grad_state):
        return grad_outputs.flip(1).cumsum(1).flip(1) + grad_state[:, None]


class Broken(nn.Module):
    function = DropsOutputs

    def __init__(self, num_features=6):
        super().__init__()
        self.linear = nn.Linear(num_features, num_features)

    def forward(self, x):
        return self.function.apply(self.linear(x))


class Sound(Broken):
    function = KeepsOutputs


def inputs():
    return (torch.randn(3, 5, 6),)
