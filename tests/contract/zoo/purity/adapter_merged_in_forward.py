"""A low-rank adapter that is merged into the weight for the time of a call."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR010"}


class Broken(nn.Module):
    def __init__(self, in_features=6, out_features=5, rank=2):
        super().__init__()
        self.base = nn.Linear(in_features, out_features)
        self.base.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, in_features))
        self.up = nn.Parameter(0.1 * torch.randn(out_features, rank))

    def merged(self, x):
        weight = self.base.weight.clone()
        self.base.weight.copy_(weight + self.up.detach() @ self.down.detach())
        answer = self.base(x)
        self.base.weight.copy_(weight)
        return answer

    def forward(self, x):
        if self.training:
            return self.base(x) + x @ self.down.t() @ self.up.t()
        with torch.no_grad():
            return self.merged(x)


class Sound(Broken):
    def merged(self, x):
        return self.base(x) + x @ self.down.t() @ self.up.t()


def inputs():
    return (torch.randn(4, 6),)
