"""Self-attention that keeps its map, with the graph, to be looked at later."""

import torch
from torch import nn

REFERENCE = "https://github.com/sktime/sktime/issues/10928"
TRIGGERS = {"SER005"}


class Broken(nn.Module):
    def __init__(self, dim=8, num_heads=2):
        super().__init__()
        self.dim, self.num_heads = dim, num_heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.attention_map = None

    def forward(self, x):
        heads = self.qkv(x).unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = heads.unbind(0)
        weights = torch.softmax(query @ key.mT * query.shape[-1] ** -0.5, dim=-1)
        self.attention_map = self.kept(weights)
        return self.out((weights @ value).transpose(1, 2).flatten(2))

    def kept(self, weights):
        return weights


class Sound(Broken):
    def kept(self, weights):
        return None


def inputs():
    return (torch.randn(3, 5, 8),)
