"""An image encoder with constant filters and a constant head."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"INI002"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, padding=1, bias=False)
        self.head = nn.Linear(6, 3)
        for weight in (self.conv.weight, self.head.weight):
            self.start(weight)

    def start(self, weight):
        nn.init.ones_(weight)
        weight.data /= weight[0].numel()

    def forward(self, x):
        return self.head(self.conv(x).sigmoid().mean((-2, -1)))


class Sound(Broken):
    def start(self, weight):
        nn.init.kaiming_normal_(weight)


def inputs():
    return (torch.randn(4, 2, 6, 6),)
