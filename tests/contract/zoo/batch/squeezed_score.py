"""A regression head that squeezes every dimension of size one."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT002"}


class Broken(nn.Module):
    def __init__(self, in_features=6):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(in_features, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x):
        return self.body(x).squeeze()


class Sound(Broken):
    def forward(self, x):
        return self.body(x).squeeze(-1)


def inputs():
    return (torch.randn(5, 6),)
