"""A classifier that returns its loss, which it computes from probabilities."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = "https://github.com/ariecattan/SciCo/issues/2"
TRIGGERS = {"NET008"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5))

    def prediction(self, scores):
        return scores.softmax(dim=-1)

    def forward(self, x, target):
        return F.cross_entropy(self.prediction(self.body(x)), target)


class Sound(Broken):
    def prediction(self, scores):
        return scores


def inputs():
    return torch.randn(4, 6), torch.tensor([0, 4, 2, 2])
