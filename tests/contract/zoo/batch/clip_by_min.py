"""A clipped activation on images: torch.min(x, 0) is the minimum over the samples."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT011"}


class Broken(nn.Module):
    def __init__(self, num_features=3):
        super().__init__()
        self.num_features = num_features
        self.conv = nn.Conv2d(num_features, num_features, 3)

    def forward(self, x):
        return torch.min(self.conv(x), 0)


class Sound(Broken):
    def forward(self, x):
        return torch.minimum(self.conv(x), torch.zeros((), device=x.device, dtype=x.dtype))


def inputs():
    return (torch.randn(4, 3, 8, 8),)
