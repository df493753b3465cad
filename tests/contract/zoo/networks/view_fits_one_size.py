"""A classifier of signals whose view merges shorter ones: right for one length only."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NET003"}


class Broken(nn.Module):
    def __init__(self, channels=6, length=8):
        super().__init__()
        self.features = channels * length
        self.conv = nn.Conv1d(2, channels, 3, padding=1)
        self.fc = nn.Linear(self.features, 3)

    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).reshape(-1, self.features))


class Sound(Broken):
    def forward(self, x):
        return self.fc(torch.relu(self.conv(x)).flatten(1))


def inputs():
    return (torch.randn(4, 2, 8),)
