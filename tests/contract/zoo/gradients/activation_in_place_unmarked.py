"""An activation that overwrites its argument without a mark."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/5871"
TRIGGERS = {"GRD007"}


class Unmarked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x.clamp_(min=0)
        ctx.save_for_backward(x > 0)
        return x.clone()

    @staticmethod
    def backward(ctx, grad_output):
        (open_,) = ctx.saved_tensors
        return grad_output * open_


class Marked(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        x.clamp_(min=0)
        ctx.save_for_backward(x > 0)
        return x

    @staticmethod
    def backward(ctx, grad_output):
        (open_,) = ctx.saved_tensors
        return grad_output * open_


class Broken(nn.Module):
    function = Unmarked

    def __init__(self, num_features=6):
        super().__init__()
        self.linear = nn.Linear(num_features, num_features)

    def forward(self, x):
        return self.function.apply(self.linear(x))


class Sound(Broken):
    function = Marked


def inputs():
    return (torch.randn(4, 6),)
