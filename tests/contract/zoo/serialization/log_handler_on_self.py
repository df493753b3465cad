"""A gated layer that holds its log handler, and with it a lock that nothing can copy."""

import logging

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"SER002"}


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.dim = dim
        self.value = nn.Linear(dim, dim)
        self.gate = nn.Linear(dim, dim)
        self.tools = {"log": self.make_log()}

    def make_log(self):
        return logging.StreamHandler()

    def forward(self, x):
        return self.value(x) * torch.sigmoid(self.gate(x))


class Sound(Broken):
    def make_log(self):
        return logging.getLogger("gate")


def inputs():
    return (torch.randn(4, 6),)
