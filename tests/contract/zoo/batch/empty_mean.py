"""A masked mean that divides by the number of tokens, which may be zero."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT007"}


class Broken(nn.Module):
    def __init__(self, embed_dim=6):
        super().__init__()
        self.linear = nn.Linear(embed_dim, 4)

    def count(self, mask):
        return mask.sum(1, keepdim=True)

    def forward(self, x, mask):
        mask = mask.to(x.dtype)
        return self.linear((x * mask.unsqueeze(-1)).sum(1) / self.count(mask))


class Sound(Broken):
    def count(self, mask):
        return mask.sum(1, keepdim=True).clamp(min=1)


def inputs():
    return torch.randn(3, 5, 6), torch.arange(5) < torch.tensor([[5], [3], [2]])
