"""A convolution that keeps the channels with positive scores; the scores are never trained."""

import torch
from torch import nn

REFERENCE = "https://arxiv.org/abs/1911.13299"
TRIGGERS = {"TRN003"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.scores = nn.Parameter(torch.randn(8))

    def gate(self):
        return (self.scores > 0).to(self.scores.dtype)

    def forward(self, x):
        return self.conv(x) * self.gate()[:, None, None]


class Sound(Broken):
    def gate(self):
        soft = torch.sigmoid(self.scores)
        return (soft > 0.5).to(soft.dtype) + soft - soft.detach()


def inputs():
    return (torch.randn(4, 3, 6, 6),)
