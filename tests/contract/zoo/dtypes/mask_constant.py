"""Attention that masks with -1e9, which float16 does not know."""

import torch
from torch import nn

REFERENCE = "https://github.com/NVIDIA/apex/issues/1052"
TRIGGERS = {"DTY003"}


class Broken(nn.Module):
    def __init__(self, embed_dim=8):
        super().__init__()
        self.qkv_proj = nn.Linear(embed_dim, 3 * embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def fill(self, scores):
        return -1e9

    def forward(self, x):
        query, key, value = self.qkv_proj(x).chunk(3, dim=-1)
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        length = x.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(later, self.fill(scores)).softmax(-1)
        return self.out_proj(weights @ value)


class Sound(Broken):
    def fill(self, scores):
        return torch.finfo(scores.dtype).min


def inputs():
    return (torch.randn(3, 5, 8),)
