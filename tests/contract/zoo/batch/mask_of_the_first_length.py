"""Causal attention that keeps the mask of the first length that it saw."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = ""
TRIGGERS = {"BAT004"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.project = nn.Linear(6, 18)
        self.mask = None

    def seen(self, x):
        if self.mask is None:
            self.mask = self.triangle(x)
        return self.mask

    def triangle(self, x):
        size = x.shape[1]
        return torch.ones(size, size, dtype=torch.bool, device=x.device).tril()

    def forward(self, x):
        query, key, value = self.project(x).chunk(3, dim=-1)
        return F.scaled_dot_product_attention(query, key, value, attn_mask=self.seen(x))


class Sound(Broken):
    def seen(self, x):
        return self.triangle(x)


def inputs():
    return (torch.randn(2, 5, 6),)
