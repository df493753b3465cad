"""A network whose view has the width of another image size: rows begin inside of images."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = ""
TRIGGERS = {"NET003"}


class Broken(nn.Module):
    def __init__(self, width=4 * 6 * 6):
        super().__init__()
        self.width = width
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc = nn.Linear(width, 5)

    def rows(self, x):
        return x.reshape(-1, self.width)

    def forward(self, x):
        return self.fc(self.rows(F.max_pool2d(torch.relu(self.conv(x)), 2)))


class Sound(Broken):
    def __init__(self):
        super().__init__(4 * 4 * 4)

    def rows(self, x):
        return x.flatten(1)


def inputs():
    return (torch.randn(9, 3, 8, 8),)
