"""Cosine similarity in float16 to prototypes, with an eps below the smallest number of float16."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"DTY004"}


class Broken(nn.Module):
    EPS = 1e-10

    def __init__(self, embed_dim=8, num_classes=3):
        super().__init__()
        self.prototypes = nn.Parameter(torch.randn(num_classes, embed_dim).half())

    def unit(self, x):
        return x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + self.EPS)

    def forward(self, x):
        return self.unit(x) @ self.unit(self.prototypes).t()


class Sound(Broken):
    EPS = 1e-4


def inputs():
    return (torch.randn(4, 8).half(),)
