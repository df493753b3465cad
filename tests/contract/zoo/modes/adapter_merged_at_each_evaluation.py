"""A low-rank adapter that every call of eval() adds to the weight once more."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"MOD002"}


class Broken(nn.Module):
    def __init__(self, d=6, r=2):
        super().__init__()
        self.w = nn.Parameter(torch.randn(d, d) / 3)
        self.a = nn.Parameter(torch.randn(r, d))
        self.b = nn.Parameter(torch.randn(d, r) * 0.1)
        self.merged = False

    def train(self, mode=True):
        super().train(mode)
        if not mode:
            self.w.data += self.b.data @ self.a.data
            self.merged = True
        return self

    def forward(self, x):
        y = x @ self.w.t()
        return y if self.merged else y + x @ self.a.t() @ self.b.t()


class Sound(Broken):
    def train(self, mode=True):
        nn.Module.train(self, mode)
        if not mode and not self.merged:
            self.w.data += self.b.data @ self.a.data
            self.merged = True
        elif mode and self.merged:
            self.w.data -= self.b.data @ self.a.data
            self.merged = False
        return self


def inputs():
    return (torch.randn(4, 6),)
