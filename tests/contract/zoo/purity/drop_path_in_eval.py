"""A residual block whose stochastic depth never ends."""

import torch
from torch import nn

REFERENCE = "https://github.com/yangze0930/NTS-Net/issues/14"
TRIGGERS = {"PUR005"}


class Broken(nn.Module):
    def __init__(self, channels=4, drop_prob=0.4):
        super().__init__()
        self.keep_prob = 1.0 - drop_prob
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.GroupNorm(2, channels)

    def active(self):
        return True

    def drop_path(self, x):
        mask = torch.rand(x.shape[0], 1, 1, 1, device=x.device, dtype=x.dtype) < self.keep_prob
        return x * mask / self.keep_prob

    def forward(self, x):
        branch = self.norm(self.conv(x))
        return x + (self.drop_path(branch) if self.active() else branch)


class Sound(Broken):
    def active(self):
        return self.training


def inputs():
    return (torch.randn(4, 4, 5, 5),)
