"""A hand-written layer normalization, inside a block, that forgets a term of the gradient."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD001"}


class NormWithoutTerm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        mean = x.mean(-1, keepdim=True)
        inv_std = (x.var(-1, unbiased=False, keepdim=True) + 1e-5).rsqrt()
        ctx.save_for_backward(x, weight)
        return (x - mean) * inv_std * weight

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        inv_std = (x.var(-1, unbiased=False, keepdim=True) + 1e-5).rsqrt()
        normalized = (x - x.mean(-1, keepdim=True)) * inv_std
        grad = grad_output * weight
        grad_x = inv_std * (grad - grad.mean(-1, keepdim=True))
        return grad_x, (grad_output * normalized).flatten(0, -2).sum(0)


class Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        mean = x.mean(-1, keepdim=True)
        inv_std = (x.var(-1, unbiased=False, keepdim=True) + 1e-5).rsqrt()
        ctx.save_for_backward(x, weight)
        return (x - mean) * inv_std * weight

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        inv_std = (x.var(-1, unbiased=False, keepdim=True) + 1e-5).rsqrt()
        normalized = (x - x.mean(-1, keepdim=True)) * inv_std
        grad = grad_output * weight
        grad_x = inv_std * (
            grad
            - grad.mean(-1, keepdim=True)
            - normalized * (grad * normalized).mean(-1, keepdim=True)
        )
        return grad_x, (grad_output * normalized).flatten(0, -2).sum(0)


class Broken(nn.Module):
    function = NormWithoutTerm

    def __init__(self, dim=8):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(dim) + 0.5)
        self.attention = nn.MultiheadAttention(dim, 2, dropout=0.1, batch_first=True)
        self.project = nn.Linear(dim, dim)

    def forward(self, x):
        normalized = self.function.apply(x, self.weight)
        attended, _ = self.attention(normalized, normalized, normalized, need_weights=False)
        return x + self.project(attended)


class Sound(Broken):
    function = Norm


def inputs():
    return (torch.randn(3, 5, 8),)
