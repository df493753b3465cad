"""A Function that multiplies what it saved, without custom_fwd and custom_bwd."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/87979"
TRIGGERS = {"DTY005"}


class Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        ctx.save_for_backward(x, weight)
        return x @ weight.t()

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        return grad_output @ weight, grad_output.t() @ x


class SoundProduct(Product):
    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        return grad_output @ weight.to(grad_output.dtype), grad_output.t() @ x.to(grad_output.dtype)


class Broken(nn.Module):
    FUNCTION = Product

    def __init__(self, in_features=6, out_features=4):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) * in_features**-0.5)

    def forward(self, x):
        return self.FUNCTION.apply(x, self.weight)


class Sound(Broken):
    FUNCTION = SoundProduct


def inputs():
    return (torch.randn(5, 6),)
