"""Features that are standardised over the batch, in eval mode too."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT001"}


class Broken(nn.Module):
    dim = 0

    def __init__(self, in_features=7, out_features=4):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)

    def forward(self, x):
        x = self.linear(x)
        return (x - x.mean(self.dim, keepdim=True)) / (x.std(self.dim, keepdim=True) + 1e-5)


class Sound(Broken):
    dim = -1


def inputs():
    return (torch.randn(5, 7),)
