"""A gate that is computed in float32 and meets weights of another dtype."""

import torch
from torch import nn

REFERENCE = "https://github.com/cvg/LightGlue/issues/186"
TRIGGERS = {"DTY001"}


class Broken(nn.Module):
    def __init__(self, num_channels=4):
        super().__init__()
        self.gate = nn.Linear(num_channels, num_channels)

    def pool(self, x):
        return x.mean(dim=(2, 3), dtype=torch.float32)

    def forward(self, x):
        return x * self.gate(self.pool(x)).sigmoid()[:, :, None, None]


class Sound(Broken):
    def pool(self, x):
        return x.mean(dim=(2, 3), dtype=torch.float32).to(x.dtype)


def inputs():
    return (torch.randn(3, 4, 5, 5),)
