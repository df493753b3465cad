"""Sinusoidal positions that lift a bfloat16 sequence to float32."""

import math

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"DTY002"}


class Broken(nn.Module):
    def __init__(self, embed_dim=8):
        super().__init__()
        self.embed_dim = embed_dim
        self.scale = nn.Parameter(torch.ones(embed_dim))

    def table(self, x):
        half = self.embed_dim // 2
        steps = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)
        rates = torch.arange(half, device=x.device, dtype=torch.float32) * (-math.log(1e4) / half)
        angles = steps[:, None] * rates.exp()
        return torch.cat([angles.sin(), angles.cos()], dim=-1)

    def forward(self, x):
        return x * self.scale + self.table(x)


class Sound(Broken):
    def forward(self, x):
        return x * self.scale + self.table(x).to(x.dtype)


def inputs():
    return (torch.randn(3, 5, 8),)
