"""A fused linear layer that computes all gradients in the branch of its input."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD013"}


class OneBranch(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return x @ weight.T + bias

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        if ctx.needs_input_grad[0]:
            grad_x = grad_output @ weight
            grad_weight = grad_output.T @ x
        return grad_x, grad_weight, grad_output.sum(0)


class AllBranches(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return x @ weight.T + bias

    @staticmethod
    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        return grad_output @ weight, grad_output.T @ x, grad_output.sum(0)


class Broken(nn.Module):
    function = OneBranch

    def __init__(self, in_features=6, out_features=5):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / in_features**0.5)
        self.bias = nn.Parameter(torch.randn(out_features))

    def forward(self, x):
        return self.function.apply(x, self.weight, self.bias)


class Sound(Broken):
    function = AllBranches


def inputs():
    return (torch.randn(4, 6),)
