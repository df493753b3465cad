"""Gram matrices of feature maps, one image at a time."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PRF002"}


class Broken(nn.Module):
    def __init__(self, channels=4):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3, padding=1)

    def gram(self, features):
        maps = []
        for sample in features:
            flat = sample.flatten(1)
            maps.append(flat @ flat.t() / flat.shape[1])
        return torch.stack(maps)

    def forward(self, x):
        return self.gram(self.conv(x))


class Sound(Broken):
    def gram(self, features):
        flat = features.flatten(2)
        return flat @ flat.transpose(1, 2) / flat.shape[2]


def inputs():
    return (torch.randn(3, 3, 5, 5),)
