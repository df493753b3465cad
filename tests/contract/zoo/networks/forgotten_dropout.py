"""A classifier that declares dropout and never calls it."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NET002"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(12, 8)
        self.dropout = nn.Dropout(0.3)
        self.fc = nn.Linear(8, 3)

    def forward(self, tokens):
        return self.fc(self.embed(tokens).mean(1))


class Sound(Broken):
    def forward(self, tokens):
        return self.fc(self.dropout(self.embed(tokens).mean(1)))


def inputs():
    return (torch.randint(0, 12, (4, 6)),)
