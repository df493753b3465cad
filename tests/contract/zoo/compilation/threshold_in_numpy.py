"""Keeps the larger activations; the threshold of each row comes from numpy."""

import numpy as np
import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"CMP003"}
TIER = "full"


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.body = nn.Linear(dim, dim)

    def forward(self, x):
        y = self.body(x)
        return y * (y > self.threshold(y.detach()))

    def threshold(self, y):
        return torch.from_numpy(np.mean(y.cpu().numpy(), axis=-1, keepdims=True)).to(y.device)


class Sound(Broken):
    def threshold(self, y):
        return y.mean(-1, keepdim=True)


def inputs():
    return (torch.randn(4, 6),)
