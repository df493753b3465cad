"""The last states of both directions are viewed as (samples, features)."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT001"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 6, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(12, 2)

    def merge(self, h, b):
        return h.view(b, -1)

    def forward(self, x):
        _, h = self.gru(x)
        return self.fc(self.merge(h, x.shape[0]))


class Sound(Broken):
    def merge(self, h, b):
        return h.transpose(0, 1).reshape(b, -1)


def inputs():
    return (torch.randn(4, 5, 4),)
