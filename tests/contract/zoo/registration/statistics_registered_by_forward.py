"""A whitening layer that registers its statistics in the first training call."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG008"}


class Broken(nn.Module):
    def __init__(self, num_features=5):
        super().__init__()
        self.num_features = num_features
        self.prepare()

    def prepare(self):
        pass

    def forward(self, x):
        if self.training:
            mean = x.detach().mean(0)
            if not hasattr(self, "mean"):
                self.register_buffer("mean", torch.zeros_like(mean))
            self.mean.lerp_(mean, 0.1)
        return x - self.mean if hasattr(self, "mean") else x


class Sound(Broken):
    def prepare(self):
        self.register_buffer("mean", torch.zeros(self.num_features))


def inputs():
    return (torch.randn(4, 5),)
