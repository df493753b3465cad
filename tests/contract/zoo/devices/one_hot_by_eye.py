"""One-hot rows looked up in an identity matrix that lies on the CPU."""

import torch
import torch.nn.functional as F
from torch import nn

REFERENCE = ""
TRIGGERS = {"DEV001"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(7, 4)

    def onehot(self, t):
        return torch.eye(7)[t]

    def forward(self, t):
        return self.fc(self.onehot(t))


class Sound(Broken):
    def onehot(self, t):
        return F.one_hot(t, 7).to(self.fc.weight.dtype)


def inputs():
    return (torch.randint(0, 7, (2, 5)),)
