"""A sequence classifier that hands the pair of an LSTM to its head."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NET001"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(5, 7, batch_first=True)
        self.head = nn.Linear(7, 2)

    def forward(self, x):
        return self.head(self.lstm(x))


class Sound(Broken):
    def forward(self, x):
        steps, _ = self.lstm(x)
        return self.head(steps)


def inputs():
    return (torch.randn(3, 6, 5),)
