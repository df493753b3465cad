"""An attention pool whose first evaluation sets the dropout rate to zero for ever."""

import torch
from torch import nn

REFERENCE = "https://github.com/NVIDIA/Megatron-LM/pull/411"
TRIGGERS = {"MOD002"}


class Broken(nn.Module):
    def __init__(self, dim=6, dropout=0.3):
        super().__init__()
        self.dim, self.dropout = dim, dropout
        self.score = nn.Linear(dim, 1)

    def forward(self, x):
        if not self.training:
            self.dropout = 0.0
        weights = torch.softmax(self.score(x), dim=1)
        return (nn.functional.dropout(weights, self.dropout) * x).sum(dim=1)


class Sound(Broken):
    def forward(self, x):
        weights = torch.softmax(self.score(x), dim=1)
        return (nn.functional.dropout(weights, self.dropout, self.training) * x).sum(dim=1)


def inputs():
    return (torch.randn(4, 5, 6),)
