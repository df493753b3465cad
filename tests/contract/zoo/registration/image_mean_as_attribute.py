"""A stem that standardises images with tensors that are no buffers."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/29807"
TRIGGERS = {"REG003"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.keep("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1))
        self.keep("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def keep(self, name, value):
        setattr(self, name, value)

    def forward(self, x):
        return self.conv((x - self.mean) / self.std)


class Sound(Broken):
    def keep(self, name, value):
        self.register_buffer(name, value)


def inputs():
    return (torch.randn(4, 3, 8, 8),)
