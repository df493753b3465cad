"""A layer that centres its input with the mean of the first batch that it ever saw."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR004"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.mean = None

    def center(self, x):
        if self.mean is None:
            self.mean = x.mean(0).detach()
        return x - self.mean

    def forward(self, x):
        return self.fc(self.center(x))


class Sound(Broken):
    def __init__(self):
        super().__init__()
        del self.mean
        self.register_buffer("mean", torch.zeros(5))

    def fit(self, x):
        """Take the mean of the training set, once."""
        self.mean.copy_(x.mean(0))

    def center(self, x):
        return x - self.mean


def inputs():
    return (torch.randn(4, 5),)
