"""A language head that wraps the embedding's memory in a second parameter."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG005"}


class Broken(nn.Module):
    def __init__(self, vocabulary=9, width=4):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, width)
        self.mix = nn.Linear(width, width)
        self.tie()

    def tie(self):
        self.head = nn.Parameter(self.embed.weight.detach().t())

    def forward(self, tokens):
        return self.mix(self.embed(tokens)) @ self.head


class Sound(Broken):
    def tie(self):
        pass

    def forward(self, tokens):
        return self.mix(self.embed(tokens)) @ self.embed.weight.t()


def inputs():
    return (torch.randint(0, 9, (4, 6)),)
