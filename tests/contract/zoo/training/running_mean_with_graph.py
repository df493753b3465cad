"""A centring layer whose running mean keeps the graph of all earlier steps."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/54580"
TRIGGERS = {"TRN006"}


class Broken(nn.Module):
    def __init__(self, in_features=5, out_features=4):
        super().__init__()
        self.fc = nn.Linear(in_features, out_features)
        self.register_buffer("center", torch.zeros(out_features))

    def batch_mean(self, x):
        return x.mean(0)

    def forward(self, x):
        x = self.fc(x)
        if self.training:
            self.center = 0.9 * self.center + 0.1 * self.batch_mean(x)
        return torch.tanh(x - self.center)


class Sound(Broken):
    def batch_mean(self, x):
        return x.detach().mean(0)


def inputs():
    return (torch.randn(6, 5),)
