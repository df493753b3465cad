"""A wavelet step that passes through numpy."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"DEV001", "GRD009"}


class Broken(nn.Module):
    def __init__(self, num_features=8):
        super().__init__()
        self.linear = nn.Linear(num_features, num_features)

    def split(self, x):
        values = x.detach().numpy()
        low, high = values[..., ::2] + values[..., 1::2], values[..., ::2] - values[..., 1::2]
        return torch.cat([torch.from_numpy(low), torch.from_numpy(high)], -1) / 2**0.5

    def forward(self, x):
        return self.linear(self.split(x))


class Sound(Broken):
    def split(self, x):
        low, high = x[..., ::2] + x[..., 1::2], x[..., ::2] - x[..., 1::2]
        return torch.cat([low, high], -1) / 2**0.5


def inputs():
    return (torch.randn(4, 8),)
