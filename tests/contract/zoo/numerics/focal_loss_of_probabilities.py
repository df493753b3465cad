"""A focal loss that takes the logarithm of one minus a sigmoid."""

import torch
import torch.nn.functional as F
from torch import nn

REFERENCE = ""
TRIGGERS = {"NUM002"}


class Broken(nn.Module):
    def forward(self, x, y):
        p = torch.sigmoid(x)
        p = torch.where(y > 0.5, p, 1 - p)
        return (-((1 - p) ** 2) * torch.log(p)).mean()


class Sound(nn.Module):
    def forward(self, x, y):
        s = torch.where(y > 0.5, x, -x)
        return (-(torch.sigmoid(-s) ** 2) * F.logsigmoid(s)).mean()


def inputs():
    return (torch.randn(16, 3), (torch.randn(16, 3) > 0).float())
