"""A hook for old checkpoints that overwrites the gain of new ones too."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"SER004"}


def fill_gain(layer, state, prefix, *_):
    """Old checkpoints have no gain."""
    state[prefix + "gain"] = torch.ones_like(layer.gain)


def fill_missing_gain(layer, state, prefix, *_):
    """Old checkpoints have no gain."""
    state.setdefault(prefix + "gain", torch.ones_like(layer.gain))


class Broken(nn.Module):
    hook = staticmethod(fill_gain)

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.gain = nn.Parameter(torch.rand(3) + 0.5)
        self.register_load_state_dict_pre_hook(self.hook)

    def forward(self, x):
        return self.fc(x) * self.gain


class Sound(Broken):
    hook = staticmethod(fill_missing_gain)


def inputs():
    return (torch.randn(3, 5),)
