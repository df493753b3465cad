"""A fake quantiser whose range is learned in training and left out of the state dict."""

import torch
from torch import nn

REFERENCE = "https://github.com/ACEsuit/mace/issues/1415"
TRIGGERS = {"SER004"}


class Broken(nn.Module):
    persistent = False

    def __init__(self, num_levels=64, momentum=0.5):
        super().__init__()
        self.num_levels, self.momentum = num_levels, momentum
        self.register_buffer("limit", torch.tensor(4.0), persistent=self.persistent)

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.limit.lerp_(x.abs().amax(), self.momentum)
        return x + (self.quantised(x) - x).detach()

    def quantised(self, x):
        step = 2 * self.limit / self.num_levels
        return torch.round(x.clamp(-self.limit, self.limit) / step) * step


class Sound(Broken):
    persistent = True


def inputs():
    return (torch.randn(6, 5),)
