"""A tutorial's ReLU: torch.max(x, 0) is the maximum over the samples."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT011"}


class Broken(nn.Module):
    def __init__(self, num_features=5):
        super().__init__()
        self.num_features = num_features
        self.linear = nn.Linear(num_features, num_features)

    def forward(self, x):
        return torch.max(self.linear(x), 0)


class Sound(Broken):
    def forward(self, x):
        return torch.maximum(self.linear(x), torch.zeros((), device=x.device, dtype=x.dtype))


def inputs():
    return (torch.randn(6, 5),)
