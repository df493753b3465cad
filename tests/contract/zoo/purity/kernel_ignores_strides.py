"""A custom Function that hands flat memory to its kernel."""

import torch
from torch import nn

REFERENCE = "https://github.com/open-mmlab/mmcv/pull/737"
TRIGGERS = {"PUR008"}


class Softsign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        memory = torch.as_strided(x, (x.numel(),), (1,))
        y = (memory / (1.0 + memory.abs())).reshape(x.shape)
        ctx.save_for_backward(x)
        return y

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad / (1.0 + x.abs()) ** 2


class Broken(nn.Module):
    def __init__(self, num_features=5):
        super().__init__()
        self.scale = nn.Parameter(torch.rand(num_features) + 0.5)

    def prepared(self, x):
        return x

    def forward(self, x):
        return Softsign.apply(self.prepared(x)) * self.scale


class Sound(Broken):
    def prepared(self, x):
        return x.contiguous()


def inputs():
    return (torch.randn(4, 5),)
