"""The first state of an LSTM is made without device and dtype."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"DEV001"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 6, 2, batch_first=True, dropout=0.1)
        self.fc = nn.Linear(6, 2)

    def h0(self, x):
        return torch.zeros(2, x.size(0), 6)

    def forward(self, x):
        h = self.h0(x)
        out, _ = self.lstm(x, (h, h))
        return self.fc(out[:, -1])


class Sound(Broken):
    def h0(self, x):
        return x.new_zeros(2, x.size(0), 6)


def inputs():
    return (torch.randn(3, 5, 4),)
