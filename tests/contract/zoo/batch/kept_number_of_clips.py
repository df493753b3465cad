"""A frame encoder that unfolds frames into clips of the number it saw first."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT003"}


class Broken(nn.Module):
    def __init__(self, features=6, hidden=5):
        super().__init__()
        self.linear = nn.Linear(features, hidden)
        self.num_clips = None

    def clips(self, x):
        self.num_clips = self.num_clips or x.shape[0]
        return self.num_clips

    def forward(self, x):
        frames = self.linear(x.flatten(0, 1)).relu()
        return frames.view(self.clips(x), x.shape[1], frames.shape[-1]).mean(1)


class Sound(Broken):
    def clips(self, x):
        return x.shape[0]


def inputs():
    return (torch.randn(4, 7, 6),)
