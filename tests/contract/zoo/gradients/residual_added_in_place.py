"""A block that adds its residual into an activation that backward needs."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/9391"
TRIGGERS = {"GRD010"}


class Broken(nn.Module):
    def __init__(self, num_features=6):
        super().__init__()
        self.expand = nn.Linear(num_features, num_features)
        self.project = nn.Linear(num_features, num_features)

    def forward(self, x):
        hidden = self.expand(x).tanh()
        hidden += x
        return self.project(hidden)


class Sound(Broken):
    def forward(self, x):
        hidden = self.expand(x).tanh()
        return self.project(hidden + x)


def inputs():
    return (torch.randn(4, 6),)
