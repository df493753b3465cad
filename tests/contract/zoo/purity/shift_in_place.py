"""A layer that adds to its input in place."""

import torch
from torch import nn

REFERENCE = "https://github.com/huggingface/transformers/pull/47742"
TRIGGERS = {"PUR001"}


class Broken(nn.Module):
    def __init__(self, num_features=6):
        super().__init__()
        self.num_features = num_features
        self.offset = nn.Parameter(torch.randn(num_features))

    def forward(self, x):
        with torch.no_grad():
            x.clamp_(-1.0, 1.0)
        return x * self.offset


class Sound(Broken):
    def forward(self, x):
        return x.clamp(-1.0, 1.0) * self.offset


def inputs():
    return (2.0 * torch.randn(4, 6),)
