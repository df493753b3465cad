"""A critic whose squeezed scores meet a column of returns in a smooth L1 loss."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NET006"}
LOSS = nn.SmoothL1Loss()
TARGET = torch.tensor([[0.5], [2.0], [-1.5]])


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 6, batch_first=True)
        self.value = nn.Linear(6, 1)

    def forward(self, x):
        return self.value(self.gru(x)[0][:, -1]).squeeze(-1)


class Sound(Broken):
    def forward(self, x):
        return self.value(self.gru(x)[0][:, -1])


def inputs():
    return (torch.randn(3, 5, 4),)
