"""Mean pooling that computes a mask from the lengths and then averages everything."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR006"}


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.proj = nn.Linear(dim, dim)

    def pooled(self, x, mask):
        return x.mean(1)

    def forward(self, x, lengths):
        mask = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
        return self.pooled(self.proj(x), mask[..., None].to(x.dtype))


class Sound(Broken):
    def pooled(self, x, mask):
        return (x * mask).sum(1) / mask.sum(1).clamp(min=1.0)


def inputs():
    return torch.randn(3, 5, 6), torch.tensor([5, 2, 3])
