"""A contrastive head that reads its temperature with item()."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"GRD008"}


class Broken(nn.Module):
    def __init__(self, dim=6, num_prototypes=5):
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(num_prototypes, dim))
        self.log_scale = nn.Parameter(torch.tensor(1.5))

    def scale(self):
        return self.log_scale.exp().item()

    def forward(self, x):
        return self.scale() * x @ self.prototypes.T


class Sound(Broken):
    def scale(self):
        return self.log_scale.exp()


def inputs():
    return (torch.randn(4, 6),)
