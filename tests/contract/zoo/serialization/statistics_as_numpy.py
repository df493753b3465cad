"""A scaler that returns its statistics as a numpy array, which only pickle reads."""

import numpy as np
import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"SER007"}


class Broken(nn.Module):
    def __init__(self, num_features=4):
        super().__init__()
        self.num_features = num_features
        self.low = (-1.0,) * num_features

    def get_extra_state(self):
        return np.asarray(self.low)

    def set_extra_state(self, state):
        self.low = tuple(float(value) for value in state)

    def forward(self, x):
        return x.clamp(min=x.new_tensor(self.low))


class Sound(Broken):
    def get_extra_state(self):
        return list(self.low)


def inputs():
    return (torch.randn(4, 4),)
