"""A depthwise convolution that builds its symmetric kernel in the first eval call only."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = ""
TRIGGERS = {"TRN005"}


class Broken(nn.Module):
    def __init__(self, channels=3):
        super().__init__()
        self.edge = nn.Parameter(torch.randn(channels, 1, 2))
        self.register_buffer("kernel", torch.zeros(channels, 1, 3), persistent=False)
        self.register_buffer("ready", torch.zeros((), dtype=torch.bool), persistent=False)

    def symmetric(self):
        return torch.cat([self.edge, self.edge[..., :1]], dim=-1)

    def forward(self, x):
        if self.training:
            return F.conv1d(x, self.symmetric(), padding=1, groups=x.shape[1])
        if not bool(self.ready):
            self.kernel.copy_(self.symmetric().detach())
            self.ready.fill_(True)
        return F.conv1d(x, self.kernel, padding=1, groups=x.shape[1])


class Sound(Broken):
    def forward(self, x):
        return F.conv1d(x, self.symmetric(), padding=1, groups=x.shape[1])


def inputs():
    return (torch.randn(2, 3, 8),)
