"""A tagger that applies the sigmoid itself, in front of BCEWithLogitsLoss."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NET005"}
LOSS = nn.BCEWithLogitsLoss()
TARGET = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]])


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 2)

    def forward(self, x):
        return torch.sigmoid(self.fc(x))


class Sound(Broken):
    def forward(self, x):
        return self.fc(x)


def inputs():
    return (torch.randn(3, 6),)
