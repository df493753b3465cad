"""An auxiliary head that only other losses use."""

import torch
from torch import nn

REFERENCE = "https://github.com/ultralytics/ultralytics/issues/5821"
TRIGGERS = {"DST001"}
TIER = "full"


class Broken(nn.Module):
    def __init__(self, dim=6, num_classes=3):
        super().__init__()
        self.body = nn.Linear(dim, dim)
        self.head = nn.Linear(dim, num_classes)
        self.auxiliary = nn.Linear(dim, num_classes)

    def forward(self, x):
        return self.head(self.body(x).relu())

    def auxiliary_logits(self, x):
        return self.auxiliary(self.body(x).relu())


class Sound(Broken):
    def forward(self, x):
        y = self.body(x).relu()
        return self.head(y), self.auxiliary(y)


def inputs():
    return (torch.randn(4, 6),)
