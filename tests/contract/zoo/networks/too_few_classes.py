"""A segmentation head with a class fewer than its labels have."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NET007"}
LOSS = nn.CrossEntropyLoss()
TARGET = torch.arange(48).reshape(3, 4, 4) % 4


class Broken(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.body = nn.Conv2d(2, 6, 3, padding=1)
        self.head = nn.Conv2d(6, num_classes, 1)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


class Sound(Broken):
    def __init__(self):
        super().__init__(num_classes=4)


def inputs():
    return (torch.randn(3, 2, 4, 4),)
