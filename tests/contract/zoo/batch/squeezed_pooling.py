"""Global pooling whose squeeze drops the batch of one image before the classifier."""

import torch
from torch import nn

REFERENCE = "https://github.com/meetps/pytorch-semseg/issues/214"
TRIGGERS = {"BAT002"}


class Broken(nn.Module):
    def __init__(self, channels=6):
        super().__init__()
        self.conv = nn.Conv2d(3, channels, 3)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, 4)

    def forward(self, x):
        features = self.pool(self.conv(x).relu()).squeeze()
        return torch.cat([self.head(features), features], dim=1)


class Sound(Broken):
    def forward(self, x):
        features = self.pool(self.conv(x).relu()).flatten(1)
        return torch.cat([self.head(features), features], dim=1)


def inputs():
    return (torch.randn(3, 3, 8, 8),)
