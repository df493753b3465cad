"""A head of cosines that normalises its class vectors in place, before it compares with them."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

REFERENCE = ""
TRIGGERS = {"DST002", "GRD012"}
PREVIEW = ("DST002",)


class Unit(nn.Module):
    def forward(self, weight):
        return F.normalize(weight, dim=1)


class Broken(nn.Module):
    def __init__(self, dim=6, num_classes=4):
        super().__init__()
        self.project = nn.Linear(dim, dim)
        self.classes = nn.Linear(dim, num_classes, bias=False)

    def forward(self, x):
        with torch.no_grad():
            self.classes.weight.copy_(F.normalize(self.classes.weight, dim=1))
        return self.classes(F.normalize(self.project(x), dim=1)) / 0.1


class Sound(Broken):
    def __init__(self, dim=6, num_classes=4):
        super().__init__(dim, num_classes)
        parametrize.register_parametrization(self.classes, "weight", Unit())

    def forward(self, x):
        return self.classes(F.normalize(self.project(x), dim=1)) / 0.1


def inputs():
    return (torch.randn(5, 6),)
