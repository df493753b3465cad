"""Sorts with numpy inside forward."""

import numpy as np
import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"CMP003"}
TIER = "full"


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(dim))

    def forward(self, x):
        order = self.order(x.detach())
        return torch.gather(x, -1, order) * self.scale

    def order(self, x):
        return torch.from_numpy(np.argsort(x.cpu().numpy(), axis=-1)).to(x.device)


class Sound(Broken):
    def order(self, x):
        return x.argsort(-1)


def inputs():
    return (torch.randn(4, 6),)
