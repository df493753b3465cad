"""Self loops are added to the caller's adjacency: one more with each layer."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR001"}


class Broken(nn.Module):
    def __init__(self, d=6):
        super().__init__()
        self.w = nn.Linear(d, d)

    def loops(self, a):
        a += torch.eye(a.shape[0], device=a.device, dtype=a.dtype)
        return a

    def forward(self, x, adj):
        a = self.loops(adj)
        return self.w((a / a.sum(1, keepdim=True)) @ x)


class Sound(Broken):
    def loops(self, a):
        return a + torch.eye(a.shape[0], device=a.device, dtype=a.dtype)


def inputs():
    return (torch.randn(5, 6), (torch.rand(5, 5) > 0.5).float())
