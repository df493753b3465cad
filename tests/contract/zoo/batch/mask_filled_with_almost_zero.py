"""Attention pooling that fills hidden scores with 1e-9 where a large negative number was meant."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT006"}


class Broken(nn.Module):
    fill = 1e-9

    def __init__(self, embed_dim=6):
        super().__init__()
        self.score = nn.Linear(embed_dim, 1)

    def forward(self, x, mask):
        scores = self.score(x).squeeze(-1).masked_fill(mask == 0, self.fill)
        return (torch.softmax(scores, dim=-1).unsqueeze(-1) * x).sum(1)


class Sound(Broken):
    fill = torch.finfo(torch.float16).min


def inputs():
    valid = torch.arange(5) < torch.tensor([[5], [3], [2]])
    return torch.randn(3, 5, 6), valid.long()
