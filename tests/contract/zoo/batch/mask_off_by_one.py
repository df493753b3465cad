"""Causal attention whose mask begins one diagonal too late."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT005"}


class Broken(nn.Module):
    diagonal = 2

    def __init__(self, embed_dim=8, num_heads=2):
        super().__init__()
        self.num_heads = num_heads
        self.project = nn.Linear(embed_dim, 3 * embed_dim)

    def forward(self, x):
        batch, length, embed_dim = x.shape
        shape = batch, length, 3, self.num_heads, embed_dim // self.num_heads
        query, key, value = self.project(x).view(shape).permute(2, 0, 3, 1, 4)
        hidden = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(self.diagonal)
        scores = (query @ key.transpose(-2, -1)).masked_fill(hidden, -torch.inf)
        return (torch.softmax(scores, -1) @ value).transpose(1, 2).reshape(x.shape)


class Sound(Broken):
    diagonal = 1


def inputs():
    return (torch.randn(3, 6, 8),)
