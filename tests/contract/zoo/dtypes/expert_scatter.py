"""A layer that writes the answers of an expert into a tensor of another dtype."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/38487"
TRIGGERS = {"DTY005"}


class Broken(nn.Module):
    def __init__(self, embed_dim=6):
        super().__init__()
        self.even = nn.Linear(embed_dim, embed_dim)
        self.odd = nn.Linear(embed_dim, embed_dim)

    def empty(self, x, values):
        return torch.zeros_like(x)

    def forward(self, x):
        even, odd = self.even(x[:, ::2]), self.odd(x[:, 1::2])
        out = self.empty(x, even)
        rows = torch.arange(x.shape[1], device=x.device)
        out = out.index_add(1, rows[::2], even)
        return out.index_add(1, rows[1::2], odd)


class Sound(Broken):
    def empty(self, x, values):
        return values.new_zeros(x.shape)


def inputs():
    return (torch.randn(3, 4, 6),)
