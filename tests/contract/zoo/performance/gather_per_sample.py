"""Last-step pooling that picks the row of each sequence in a Python loop."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PRF002"}


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.head = nn.Linear(dim, 2)

    def picked(self, x, place):
        return torch.cat([x[i].index_select(0, place[i : i + 1]) for i in range(len(x))])

    def forward(self, x):
        place = x.norm(dim=-1).argmax(1)
        return self.head(self.picked(x, place))


class Sound(Broken):
    def picked(self, x, place):
        return x.gather(1, place[:, None, None].expand(-1, 1, x.shape[-1]))[:, 0]


def inputs():
    return (torch.randn(3, 5, 6),)
