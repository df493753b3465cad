"""The network of a tutorial, written for 28 x 28 images and fed with CIFAR-10."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = ""
TRIGGERS = {"NET001"}


class Broken(nn.Module):
    def __init__(self, side=7):
        super().__init__()
        self.features = 16 * side * side
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1, bias=False)
        self.fc1 = nn.Linear(self.features, 20)
        self.fc2 = nn.Linear(20, 10)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


class Sound(Broken):
    def __init__(self):
        super().__init__(side=8)


def inputs():
    return (torch.randn(4, 3, 32, 32),)
