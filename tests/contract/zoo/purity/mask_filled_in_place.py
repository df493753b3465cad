"""Attention that turns the caller's mask into an additive one in place."""

import torch
from torch import nn

REFERENCE = "https://github.com/huggingface/transformers/pull/47742"
TRIGGERS = {"PUR001"}


class Broken(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def additive(self, mask):
        return mask.sub_(1.0).mul_(1e4)

    def forward(self, x, mask):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        scores = q @ k.transpose(1, 2) * q.shape[-1] ** -0.5
        weights = (scores + self.additive(mask)[:, None]).softmax(-1)
        return self.proj(weights @ v)


class Sound(Broken):
    def additive(self, mask):
        return (mask - 1.0) * 1e4


def inputs():
    mask = torch.ones(3, 5)
    mask[0, 3:] = 0.0
    mask[2, 4:] = 0.0
    return torch.randn(3, 5, 8), mask
