"""A layer that clips gradients by a hook which holds on to its own tensor."""

import torch
from torch import nn

REFERENCE = "https://github.com/asappresearch/sru/pull/171"
TRIGGERS = {"PRF001"}


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.linear = nn.Linear(dim, dim)

    def clip(self, y):
        y.register_hook(lambda grad: grad.clamp(-100.0, 100.0).reshape(y.shape))

    def forward(self, x):
        y = self.linear(x)
        if y.requires_grad:
            self.clip(y)
        return y.tanh()


class Sound(Broken):
    def clip(self, y):
        shape = y.shape
        y.register_hook(lambda grad: grad.clamp(-100.0, 100.0).reshape(shape))


def inputs():
    return (torch.randn(4, 6),)
