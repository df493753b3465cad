"""One projection is cut into queries, keys and values by a view in the wrong order."""

import torch
import torch.nn.functional as F
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT008"}


class Broken(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.qkv = nn.Linear(d, 3 * d)
        self.out = nn.Linear(d, d)
        self.n = nn.LayerNorm(d)

    def split(self, y, b, t, d):
        return y.view(b, 3, t, d).unbind(1)

    def forward(self, x):
        b, t, d = x.shape
        q, k, v = self.split(self.qkv(self.n(x)), b, t, d)
        return x + self.out(F.scaled_dot_product_attention(q, k, v))


class Sound(Broken):
    def split(self, y, b, t, d):
        return y.view(b, t, 3, d).unbind(2)


def inputs():
    return (torch.randn(3, 5, 8),)
