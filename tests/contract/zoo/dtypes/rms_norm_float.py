"""A norm that computes in float32 and never returns to the dtype of its input."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"DTY002"}


class Broken(nn.Module):
    def __init__(self, num_features=6, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(num_features))

    def normalized(self, x):
        wide = x.float()
        return wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + self.eps)

    def forward(self, x):
        return self.normalized(x) * self.weight.float()


class Sound(Broken):
    def forward(self, x):
        return self.normalized(x).to(x.dtype) * self.weight


def inputs():
    return (torch.randn(4, 6),)
