"""A nested encoder that applies its first projection twice, and its second one never."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/43259"
TRIGGERS = {"NET002"}


class Encoder(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.first = nn.Linear(dim, dim)
        self.second = nn.Linear(dim, dim)

    def forward(self, x):
        return self.first(torch.relu(self.first(x)))


class TwoStepEncoder(Encoder):
    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


class Broken(nn.Module):
    def __init__(self, encoder=Encoder):
        super().__init__()
        self.encoder = encoder()
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(torch.relu(self.encoder(x)))


class Sound(Broken):
    def __init__(self):
        super().__init__(TwoStepEncoder)


def inputs():
    return (torch.randn(5, 6),)
