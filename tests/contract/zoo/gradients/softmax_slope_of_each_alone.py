"""A softmax whose gradient has the diagonal of its Jacobian only."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD001"}


class Diagonal(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.softmax(-1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad_output):
        (y,) = ctx.saved_tensors
        return grad_output * y * (1 - y)


class Whole(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.softmax(-1)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, grad_output):
        (y,) = ctx.saved_tensors
        return y * (grad_output - (grad_output * y).sum(-1, keepdim=True))


class Broken(nn.Module):
    function = Diagonal

    def __init__(self):
        super().__init__()
        self.scores = nn.Linear(6, 1)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        weights = self.function.apply(self.scores(x).squeeze(-1))
        return self.head((weights.unsqueeze(-1) * x).sum(1))


class Sound(Broken):
    function = Whole


def inputs():
    return (torch.randn(3, 5, 6),)
