"""A custom operator that changes its argument and does not say so."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"CMP009"}
TIER = "full"


@torch.library.custom_op("layerwright_zoo::shift_silently", mutates_args=())
def shift_silently(x: torch.Tensor) -> torch.Tensor:
    return x.add_(1.0).clone()


@torch.library.custom_op("layerwright_zoo::shift", mutates_args=())
def shift(x: torch.Tensor) -> torch.Tensor:
    return x + 1.0


def gradient(ctx, grad):
    return grad.clone()


for operator in (shift_silently, shift):
    operator.register_fake(torch.empty_like)
    operator.register_autograd(gradient)


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.body = nn.Linear(dim, dim)

    def forward(self, x):
        return self.operator(self.body(x))

    def operator(self, x):
        return shift_silently(x)


class Sound(Broken):
    def operator(self, x):
        return shift(x)


def inputs():
    return (torch.randn(4, 6),)
