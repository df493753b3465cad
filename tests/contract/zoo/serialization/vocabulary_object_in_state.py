"""A token embedding that saves its vocabulary as an object of its own class."""

from dataclasses import asdict, dataclass

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"SER007"}


@dataclass
class Vocabulary:
    num_words: int = 12
    unknown: int = 0


class Embed(nn.Module):
    def __init__(self, dim=4):
        super().__init__()
        self.dim = dim
        self.vocabulary = Vocabulary()
        self.table = nn.Embedding(self.vocabulary.num_words, dim)

    def get_extra_state(self):
        return self.vocabulary

    def set_extra_state(self, state):
        self.vocabulary = state

    def forward(self, ids):
        known = ids < self.vocabulary.num_words
        return self.table(torch.where(known, ids, self.vocabulary.unknown))


class PlainEmbed(Embed):
    def get_extra_state(self):
        return asdict(self.vocabulary)

    def set_extra_state(self, state):
        self.vocabulary = Vocabulary(**state)


class Broken(nn.Module):
    embed = Embed

    def __init__(self, dim=4):
        super().__init__()
        self.dim = dim
        self.words = self.embed(dim)
        self.head = nn.Linear(dim, 2)

    def forward(self, ids):
        return self.head(self.words(ids).mean(dim=1))


class Sound(Broken):
    embed = PlainEmbed


def inputs():
    return (torch.randint(0, 12, (4, 6)),)
