"""A mean over all processes that one of them leaves out if its batch has nothing to count."""

import torch
import torch.distributed as dist
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/43259"
TRIGGERS = {"DST003"}
RANKS = 2
TRAITS = {"mixes_batch": True}


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.score = nn.Linear(dim, dim)

    def forward(self, x):
        y = self.score(x)
        present = (x > 2).any(-1)
        count = present.sum().float()
        if dist.is_initialized() and self.counts(present):
            dist.all_reduce(count)
        return y / (1 + count.detach())

    def counts(self, present):
        return bool(present[0])


class Sound(Broken):
    def counts(self, present):
        return True


def inputs():
    x = torch.rand(5, 6)
    x[0, 0] = 3.0
    return (x,)
