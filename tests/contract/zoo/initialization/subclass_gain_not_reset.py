"""A linear layer with a gain that the inherited reset_parameters does not know."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"INI005"}


class Broken(nn.Linear):
    def __init__(self, width=4):
        super().__init__(width, width)
        self.gain = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.gain * super().forward(x)


class Sound(Broken):
    def reset_parameters(self):
        super().reset_parameters()
        if hasattr(self, "gain"):
            nn.init.ones_(self.gain)


def inputs():
    return (torch.randn(5, 4),)
