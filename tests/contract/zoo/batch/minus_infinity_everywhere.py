"""Attention over padded keys that fills with minus infinity."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/41508"
TRIGGERS = {"BAT007"}


class Broken(nn.Module):
    def __init__(self, embed_dim=6):
        super().__init__()
        self.query = nn.Linear(embed_dim, embed_dim)

    def fill(self, dtype):
        del dtype
        return -torch.inf

    def forward(self, x, padding):
        scores = self.query(x) @ x.transpose(1, 2)
        scores = scores.masked_fill(padding.unsqueeze(1), self.fill(x.dtype))
        return torch.softmax(scores, dim=-1) @ x


class Sound(Broken):
    def fill(self, dtype):
        return torch.finfo(dtype).min


def inputs():
    return torch.randn(3, 5, 6), torch.arange(5) >= torch.tensor([[5], [3], [2]])
