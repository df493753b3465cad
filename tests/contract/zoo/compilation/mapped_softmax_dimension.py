"""A sparse attention whose own rule for vmap forgets that there is one dimension more."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"CMP006"}
TIER = "full"


class SquareWeights(torch.autograd.Function):
    """Squares that add up to one over the channels."""

    @staticmethod
    def forward(x):
        return x.square() / x.square().sum(1, keepdim=True).clamp_min(1e-6)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx, grad):
        x, weights = ctx.saved_tensors
        total = x.square().sum(1, keepdim=True).clamp_min(1e-6)
        return 2 * x / total * (grad - (grad * weights).sum(1, keepdim=True))

    @staticmethod
    def vmap(info, in_dims, x):
        return SquareWeights.apply(x), in_dims[0]


class MappedSquareWeights(SquareWeights):
    @staticmethod
    def vmap(info, in_dims, x):
        x = x.movedim(in_dims[0], 0)
        merged = MappedSquareWeights.apply(x.flatten(0, 1))
        return merged.view(x.shape), 0


class Broken(nn.Module):
    weights = SquareWeights

    def __init__(self, channels=4):
        super().__init__()
        self.score = nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        return x * self.weights.apply(self.score(x))


class Sound(Broken):
    weights = MappedSquareWeights


def inputs():
    return (torch.randn(3, 4, 6),)
