"""A memory that answers a query with the row of its buffer itself."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR003"}


class Broken(nn.Module):
    def __init__(self, num_slots=5, dim=4):
        super().__init__()
        self.to_query = nn.Linear(dim, dim, bias=False)
        self.register_buffer("slots", torch.randn(num_slots, dim))

    def read(self, place):
        return self.slots[int(place)]

    def forward(self, x):
        query = self.to_query(x)
        scores = query @ self.slots.t()
        return query, self.read(scores.sum(0).argmax())


class Sound(Broken):
    def read(self, place):
        return self.slots.index_select(0, place[None])[0]


def inputs():
    return (torch.randn(3, 4),)
