"""Window attention that makes a mask for each length, in the dtype of whoever calls first."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"MOD006"}


class Broken(nn.Module):
    def __init__(self, dim=6, window=3):
        super().__init__()
        self.dim, self.window = dim, window
        self.qk = nn.Linear(dim, 2 * dim)
        self.masks = {}

    def forward(self, x):
        query, key = self.qk(x).chunk(2, dim=-1)
        scores = query @ key.mT / self.dim**0.5 + self.mask_for(x)
        return torch.softmax(scores, dim=-1) @ x

    def mask_for(self, x):
        if x.shape[1] not in self.masks:
            self.masks[x.shape[1]] = self.make_mask(x)
        return self.masks[x.shape[1]]

    def make_mask(self, x):
        place = torch.arange(x.shape[1], device=x.device) // self.window
        same = place[:, None] == place
        return torch.zeros_like(same, dtype=x.dtype).masked_fill(~same, -100.0)


class Sound(Broken):
    def mask_for(self, x):
        return self.make_mask(x)


def inputs():
    return (torch.randn(3, 6, 6),)
