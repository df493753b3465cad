"""A convolution with a batch norm that passes training=True whatever the mode."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = "https://github.com/pytorch/pytorch/issues/4534"
TRIGGERS = {"MOD007"}


class Norm(nn.Module):
    def __init__(self, num_features):
        super().__init__()
        self.num_features = num_features
        self.weight = nn.Parameter(torch.ones(num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x):
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.uses_the_batch(),
        )

    def uses_the_batch(self):
        return True


class SoundNorm(Norm):
    def uses_the_batch(self):
        return self.training


class Broken(nn.Module):
    norm_class = Norm

    def __init__(self, in_channels=3, out_channels=4):
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.norm = self.norm_class(out_channels)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))


class Sound(Broken):
    norm_class = SoundNorm


def inputs():
    return (torch.randn(5, 3, 6, 6),)
