"""Window attention that repeats the global queries in another order than the windows lie in."""

import torch
from torch import nn

REFERENCE = "https://github.com/NVlabs/GCVit/issues/10"
TRIGGERS = {"BAT001"}


class Broken(nn.Module):
    def __init__(self, embed_dim=6, window=4):
        super().__init__()
        self.window = window
        self.query = nn.Linear(embed_dim, embed_dim)

    def repeated(self, query, times):
        return query.repeat(times, 1, 1)

    def forward(self, x, tokens):
        batch, length, embed_dim = x.shape
        windows = x.reshape(-1, self.window, embed_dim)
        query = self.repeated(self.query(tokens), length // self.window)
        weights = torch.softmax(query @ windows.transpose(1, 2), dim=-1)
        return (weights @ windows).reshape(batch, -1, embed_dim)


class Sound(Broken):
    def repeated(self, query, times):
        return query.repeat_interleave(times, dim=0)


def inputs():
    return torch.randn(3, 8, 6), torch.randn(3, 4, 6)
