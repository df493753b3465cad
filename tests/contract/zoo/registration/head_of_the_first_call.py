"""A classifier that makes its head when the first batch comes."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG008"}


class Broken(nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        self.features = nn.Conv1d(2, 4, 3)
        self.num_classes = num_classes
        self.head = None

    def forward(self, x):
        x = self.features(x).relu().flatten(1)
        if self.head is None:
            self.head = nn.Linear(x.shape[1], self.num_classes)
        return self.head(x)


class Sound(Broken):
    def __init__(self, num_classes=3):
        super().__init__(num_classes)
        self.head = nn.LazyLinear(num_classes)


def inputs():
    return (torch.randn(4, 2, 8),)
