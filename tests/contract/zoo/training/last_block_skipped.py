"""A stack of residual blocks whose loop ends one block early."""

import torch
from torch import nn

REFERENCE = "https://github.com/ultralytics/ultralytics/issues/5821"
TRIGGERS = {"TRN001"}


class Broken(nn.Module):
    def __init__(self, channels=4, depth=3):
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Conv1d(channels, channels, 3, padding=1) for _ in range(depth)
        )

    def used(self):
        return range(len(self.blocks) - 1)

    def forward(self, x):
        for place in self.used():
            x = x + torch.relu(self.blocks[place](x))
        return x


class Sound(Broken):
    def used(self):
        return range(len(self.blocks))


def inputs():
    return (torch.randn(3, 4, 9),)
