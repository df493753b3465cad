"""A framing layer for audio that computes strides instead of asking for them."""

import torch
from torch import nn

REFERENCE = "https://github.com/Dao-AILab/flash-attention/issues/355"
TRIGGERS = {"PUR008"}


class Broken(nn.Module):
    def __init__(self, frame=4, hop=2):
        super().__init__()
        self.frame, self.hop = frame, hop
        self.window = nn.Parameter(torch.hann_window(frame, periodic=False) + 0.1)

    def frames(self, x):
        batch, length = x.shape
        number = (length - self.frame) // self.hop + 1
        return x.as_strided((batch, number, self.frame), (length, self.hop, 1))

    def forward(self, x):
        return (self.frames(x) * self.window).sum(-1)


class Sound(Broken):
    def frames(self, x):
        return x.unfold(1, self.frame, self.hop)


def inputs():
    return (torch.randn(3, 12),)
