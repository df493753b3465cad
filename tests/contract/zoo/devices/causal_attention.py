"""Attention whose causal mask is made on the CPU."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/29807"
TRIGGERS = {"DEV001"}


class Broken(nn.Module):
    def __init__(self, embed_dim=8, num_heads=2):
        super().__init__()
        self.num_heads = num_heads
        self.qkv_proj = nn.Linear(embed_dim, 3 * embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)

    def later(self, x):
        return torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)

    def forward(self, x):
        batch, length, width = x.shape
        heads = self.qkv_proj(x).view(batch, length, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        scores = query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        weights = scores.masked_fill(self.later(x), float("-inf")).softmax(-1)
        return self.out_proj((weights @ value).transpose(1, 2).reshape(batch, length, width))


class Sound(Broken):
    def later(self, x):
        shape = (x.shape[1], x.shape[1])
        return torch.ones(shape, dtype=torch.bool, device=x.device).triu(1)


def inputs():
    return (torch.randn(3, 5, 8),)
