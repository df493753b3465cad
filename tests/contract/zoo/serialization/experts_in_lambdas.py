"""A layer with two branches that a dict of lambdas closes over."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"SER003"}


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.dim = dim
        self.value = nn.Linear(dim, dim)
        self.gate = nn.Linear(dim, dim)
        self.branches = self.make_branches()

    def make_branches(self):
        return {
            "value": lambda x: 2 * self.value(x),
            "gate": lambda x: torch.sigmoid(self.gate(x)),
        }

    def forward(self, x):
        return self.branches["value"](x) * self.branches["gate"](x)


class Sound(Broken):
    def make_branches(self):
        return {"value": self.value_of, "gate": self.gate_of}

    def value_of(self, x):
        return 2 * self.value(x)

    def gate_of(self, x):
        return torch.sigmoid(self.gate(x))


def inputs():
    return (torch.randn(5, 6),)
