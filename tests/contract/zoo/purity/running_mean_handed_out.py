"""A centring layer that returns its running mean itself, not a copy."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR002"}


class Broken(nn.Module):
    def __init__(self, num_features=6, momentum=0.1):
        super().__init__()
        self.momentum = momentum
        self.scale = nn.Parameter(torch.rand(num_features) + 0.5)
        self.register_buffer("running_mean", torch.zeros(num_features))

    def center(self):
        return self.running_mean

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.running_mean.lerp_(x.mean(0), self.momentum)
        return (x - self.running_mean.clone()) * self.scale, self.center()


class Sound(Broken):
    def center(self):
        return self.running_mean.clone()


def inputs():
    return (torch.randn(8, 6) + 1.0,)
