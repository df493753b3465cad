"""Parameters that the first batch sets, as activation normalisation does: each process its own."""

import torch
from torch import nn

REFERENCE = "https://arxiv.org/abs/1807.03039"
TRIGGERS = {"DST004"}
RANKS = 2


class Broken(nn.Module):
    def __init__(self, dim=6):
        super().__init__()
        self.mix = nn.Linear(dim, dim)
        self.log_scale = nn.Parameter(torch.zeros(dim))
        self.register_buffer("ready", torch.zeros(()))

    def forward(self, x):
        if self.training:
            self.start(x.detach())
        return self.mix(x * self.log_scale.exp())

    def start(self, x):
        spread = x.flatten(0, -2).std(0, correction=0) + 1e-3
        with torch.no_grad():
            self.log_scale.copy_(torch.where(self.ready > 0, self.log_scale, -spread.log()))
            self.ready.fill_(1)


class Sound(Broken):
    def start(self, x):
        pass


def inputs():
    return (torch.randn(8, 6),)
