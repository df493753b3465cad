"""A detector of rare events whose raw scores go into BCELoss."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NET007"}
LOSS = nn.BCELoss()
TARGET = torch.tensor([[1.0], [0.0], [0.0], [1.0]])


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 1)

    def forward(self, x):
        return self.fc(x)


class Sound(Broken):
    def forward(self, x):
        return torch.sigmoid(self.fc(x))


def inputs():
    return (3.0 * torch.randn(4, 5),)
