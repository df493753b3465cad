"""A recurrent layer over one-hot letters that are float32 whatever the layer is."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = ""
TRIGGERS = {"DTY001"}


class Broken(nn.Module):
    def __init__(self, num_letters=7):
        super().__init__()
        self.num_letters = num_letters
        self.rnn = nn.GRU(num_letters, 5, batch_first=True)

    def encode(self, letters):
        return F.one_hot(letters, self.num_letters).float()

    def forward(self, letters):
        return self.rnn(self.encode(letters))[0]


class Sound(Broken):
    def encode(self, letters):
        return F.one_hot(letters, self.num_letters).to(self.rnn.weight_ih_l0.dtype)


def inputs():
    return (torch.randint(7, (3, 5)),)
