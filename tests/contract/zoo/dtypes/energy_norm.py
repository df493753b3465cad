"""A norm whose sum of squares passes the largest number of float16."""

import torch
from torch import nn

REFERENCE = "https://github.com/NVIDIA/apex/issues/1105"
TRIGGERS = {"DTY003"}


class Broken(nn.Module):
    def __init__(self, num_features=16, eps=1e-3):
        super().__init__()
        self.eps = eps
        self.gain = nn.Parameter(torch.ones(num_features))

    def energy(self, x):
        return x.square().sum(-1, keepdim=True)

    def forward(self, x):
        return x * self.gain * (self.energy(x) + self.eps).rsqrt()


class Sound(Broken):
    def energy(self, x):
        return x.float().square().mean(-1, keepdim=True)

    def forward(self, x):
        scale = (self.energy(x) + self.eps).rsqrt().to(x.dtype)
        return x * self.gain * scale


def inputs():
    return (300.0 * torch.randn(4, 16),)
