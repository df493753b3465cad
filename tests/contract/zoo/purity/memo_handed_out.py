"""A text encoder that keeps the embedding of each prompt, and hands out the kept tensor."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR003"}


class Broken(nn.Module):
    def __init__(self, vocabulary=11, dim=6):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, dim)
        self.proj = nn.Linear(dim, dim)
        self.known = {}

    def encode(self, ids):
        return self.proj(self.embedding(ids)).mean(1)

    def forward(self, ids):
        if self.training or torch.is_autocast_enabled("cpu"):
            return self.encode(ids)
        key = tuple(map(tuple, ids.tolist()))
        weight = self.proj.weight
        key = (key, self.embedding.weight._version, weight._version, weight.dtype)
        if self.known.get("key") != key:
            self.known = {"key": key, "answer": self.encode(ids).detach()}
        return self.handed_out()

    def handed_out(self):
        return self.known["answer"]


class Sound(Broken):
    def handed_out(self):
        return self.known["answer"].clone()


def inputs():
    return (torch.randint(0, 11, (3, 5)),)
