"""A bilinear pooling layer whose weight is what memory held."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"INI001"}


class Broken(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.zeros_(self.bias)

    def forward(self, x):
        return x * (x @ self.weight) + self.bias


class Sound(Broken):
    def reset_parameters(self):
        nn.init.xavier_uniform_(self.weight)
        super().reset_parameters()


def inputs():
    return (torch.randn(5, 4),)
