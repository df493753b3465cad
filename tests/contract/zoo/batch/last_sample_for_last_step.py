"""A text classifier that takes the last sample where it means the last step."""

import torch
from torch import nn

REFERENCE = "https://pytorch.org/docs/stable/generated/torch.nn.LSTM.html"
TRIGGERS = {"BAT001"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 6)
        self.lstm = nn.LSTM(6, 8, batch_first=True)
        self.head = nn.Linear(8, 2)

    def last(self, output):
        return output[-1]

    def forward(self, tokens):
        output, _ = self.lstm(self.embedding(tokens))
        return self.head(self.last(output))


class Sound(Broken):
    def last(self, output):
        return output[:, -1]


def inputs():
    return (torch.randint(0, 20, (4, 9)),)
