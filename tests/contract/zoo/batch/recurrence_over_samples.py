"""A sequence classifier whose LSTM was not told that the batch comes first."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT001"}


class Broken(nn.Module):
    batch_first = False

    def __init__(self, num_embeddings=20, hidden=5):
        super().__init__()
        self.embedding = nn.Embedding(num_embeddings, 6)
        self.lstm = nn.LSTM(6, hidden, batch_first=self.batch_first)
        self.head = nn.Linear(hidden, 3)

    def forward(self, tokens):
        out, _ = self.lstm(self.embedding(tokens))
        return self.head(out[:, -1])


class Sound(Broken):
    batch_first = True


def inputs():
    return (torch.randint(0, 20, (4, 9)),)
