"""Distances between the points of a cloud: a point lies at distance zero of itself."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/2421"
TRIGGERS = {"NUM003"}


class Broken(nn.Module):
    def __init__(self, in_features=3, embed_dim=4):
        super().__init__()
        self.embed = nn.Linear(in_features, embed_dim)

    def length(self, gaps):
        return gaps.square().sum(dim=-1).sqrt()

    def forward(self, points):
        points = self.embed(points)
        return self.length(points.unsqueeze(1) - points.unsqueeze(2))


class Sound(Broken):
    def length(self, gaps):
        return torch.linalg.vector_norm(gaps, dim=-1)


def inputs():
    return (torch.randn(4, 5, 3),)
