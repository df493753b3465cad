"""A convolutional classifier with a softmax in front of a loss that has one."""

import torch
from torch import nn

REFERENCE = "https://github.com/Lightning-Universe/lightning-bolts/issues/654"
TRIGGERS = {"NET005"}
LOSS = nn.CrossEntropyLoss()
TARGET = torch.tensor([0, 2, 4, 1])


class Broken(nn.Module):
    def __init__(self, *last):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(1), nn.Linear(4, 5)
        )
        self.last = nn.Softmax(dim=1)

    def forward(self, x):
        return self.last(self.body(x))


class Sound(Broken):
    def __init__(self):
        super().__init__()
        del self.last

    def forward(self, x):
        return self.body(x)


def inputs():
    return (torch.randn(4, 1, 7, 7),)
