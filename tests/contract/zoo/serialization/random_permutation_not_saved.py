"""A flow step whose random order of channels is drawn anew in each process."""

import torch
from torch import nn

REFERENCE = "https://github.com/david-knigge/ccnn/issues/14"
TRIGGERS = {"SER004"}


class Broken(nn.Module):
    persistent = False

    def __init__(self, num_features=12):
        super().__init__()
        self.num_features = num_features
        order = torch.randperm(num_features)
        self.register_buffer("order", order, persistent=self.persistent)
        self.log_scale = nn.Parameter(torch.zeros(num_features))

    def forward(self, x):
        return x[:, self.order] * self.log_scale.exp()


class Sound(Broken):
    persistent = True


def inputs():
    return (torch.randn(4, 12),)
