"""A cosine classifier that divides a padded row by its norm."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"NUM005"}


class Broken(nn.Module):
    def __init__(self, embed_dim=8, num_classes=3):
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(num_classes, embed_dim))

    def unit(self, x):
        return x / x.norm(dim=-1, keepdim=True)

    def forward(self, x):
        return self.unit(x) @ self.unit(self.prototypes).t()


class Sound(Broken):
    def unit(self, x):
        return x / (x.norm(dim=-1, keepdim=True) + 1e-4)


def inputs():
    return (torch.randn(4, 8),)
