"""A clip classifier that folds frames into the batch and unfolds them in the other order."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT001"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.head = nn.Linear(3, 2)

    def unfold(self, features, clips, frames):
        return features.view(frames, clips, 3).transpose(0, 1)

    def forward(self, x):
        clips, frames = x.shape[:2]
        features = self.conv(x.flatten(0, 1)).mean((2, 3))
        return self.head(self.unfold(features, clips, frames).mean(1))


class Sound(Broken):
    def unfold(self, features, clips, frames):
        return features.view(clips, frames, 3)


def inputs():
    return (torch.randn(2, 3, 2, 5, 5),)
