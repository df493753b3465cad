"""Padding is masked after the softmax, which has already counted it."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"BAT006"}


class Broken(nn.Module):
    def __init__(self, d=8):
        super().__init__()
        self.q = nn.Linear(d, d)
        self.k = nn.Linear(d, d)
        self.v = nn.Linear(d, d)

    def attend(self, s, mask):
        return s.softmax(-1) * mask[:, None, :]

    def forward(self, x, mask):
        s = self.q(x) @ self.k(x).transpose(1, 2) / 8**0.5
        return self.attend(s, mask) @ self.v(x)


class Sound(Broken):
    def attend(self, s, mask):
        return s.masked_fill(~mask[:, None, :], torch.finfo(s.dtype).min).softmax(-1)


def inputs():
    return (
        torch.randn(3, 6, 8),
        torch.tensor([[1, 1, 1, 1, 0, 0], [1] * 6, [1, 1, 0, 0, 0, 0]]).bool(),
    )
