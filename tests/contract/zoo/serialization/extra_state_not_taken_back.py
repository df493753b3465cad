"""A scale that goes into the extra state and never comes out of it."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"SER004"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.scale = float(torch.rand(())) + 0.5

    def get_extra_state(self):
        return {"scale": self.scale}

    def set_extra_state(self, state):
        pass

    def forward(self, x):
        return self.fc(x) * self.scale


class Sound(Broken):
    def set_extra_state(self, state):
        self.scale = state["scale"]


def inputs():
    return (torch.randn(3, 5),)
