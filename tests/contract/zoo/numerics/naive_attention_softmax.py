"""Attention pooling with a softmax that is written out."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NUM002"}


class Broken(nn.Module):
    def __init__(self, embed_dim=6):
        super().__init__()
        self.query = nn.Parameter(torch.randn(embed_dim))

    def weights(self, scores):
        weights = scores.exp()
        return weights / weights.sum(dim=1, keepdim=True)

    def forward(self, x):
        return (self.weights(x @ self.query).unsqueeze(-1) * x).sum(dim=1)


class Sound(Broken):
    def weights(self, scores):
        return scores.softmax(dim=1)


def inputs():
    return (2.0 * torch.randn(4, 5, 6),)
