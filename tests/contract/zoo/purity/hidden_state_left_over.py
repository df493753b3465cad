"""A recurrent head that starts each batch with the hidden state of the last."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/115774"
TRIGGERS = {"PUR004"}


class Broken(nn.Module):
    def __init__(self, input_size=4, hidden_size=5):
        super().__init__()
        self.rnn = nn.GRU(input_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, 2)
        self.hidden = None

    def start(self):
        return self.hidden

    def forward(self, x):
        out, hidden = self.rnn(x, self.start())
        self.hidden = hidden.detach()
        return self.head(out[:, -1])


class Sound(Broken):
    def start(self):
        return None


def inputs():
    return (torch.randn(3, 6, 4),)
