"""A recurrent layer whose first state has the batch size of the constructor."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT003"}


class Broken(nn.Module):
    def __init__(self, features=6, hidden=5, batch_size=4):
        super().__init__()
        self.hidden, self.batch_size = hidden, batch_size
        self.gru = nn.GRU(features, hidden, batch_first=True)

    def first_state(self, x):
        return x.new_zeros(1, self.batch_size, self.hidden)

    def forward(self, x):
        return self.gru(x, self.first_state(x))[0]


class Sound(Broken):
    def first_state(self, x):
        return x.new_zeros(1, x.shape[0], self.hidden)


def inputs():
    return (torch.randn(4, 7, 6),)
