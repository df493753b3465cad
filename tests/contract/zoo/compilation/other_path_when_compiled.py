"""A norm whose path for the compiler leaves out the gain."""

import torch
import torch.nn.functional as F
from torch import nn

REFERENCE = ""
TRIGGERS = {"CMP002"}
TIER = "full"


class Broken(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.dim = dim
        self.gain = nn.Parameter(torch.rand(dim) + 0.5)

    def forward(self, x):
        if torch.compiler.is_compiling():
            return F.rms_norm(x, (self.dim,)) + 0 * self.gain
        return F.rms_norm(x, (self.dim,), self.gain)


class Sound(Broken):
    def forward(self, x):
        return F.rms_norm(x, (self.dim,), self.gain)


def inputs():
    return (torch.randn(3, 5, 8),)
