"""A layer with a `state_dict` of its own, which forgets where it sits in a network."""

from collections import OrderedDict

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"SER004"}


class NoPrefix(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 5) / 2)

    def forward(self, x):
        return x @ self.weight.t()

    def state_dict(self, *, destination=None, prefix="", keep_vars=False):
        destination = OrderedDict() if destination is None else destination
        destination["weight"] = self.weight if keep_vars else self.weight.detach()
        return destination


class Prefix(NoPrefix):
    def state_dict(self, *, destination=None, prefix="", keep_vars=False):
        destination = OrderedDict() if destination is None else destination
        destination[prefix + "weight"] = self.weight if keep_vars else self.weight.detach()
        return destination


class Broken(nn.Module):
    part = NoPrefix

    def __init__(self):
        super().__init__()
        self.first = self.part()
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.first(x).tanh())


class Sound(Broken):
    part = Prefix


def inputs():
    return (torch.randn(3, 5),)
