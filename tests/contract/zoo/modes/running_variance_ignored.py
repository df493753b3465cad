"""A batch norm that takes the mean from training, and the variance from the batch at hand."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"MOD007"}


class Broken(nn.Module):
    def __init__(self, num_features=4, momentum=0.1, eps=1e-3):
        super().__init__()
        self.num_features, self.momentum, self.eps = num_features, momentum, eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x):
        mean, var = x.mean(dim=0), x.var(dim=0, unbiased=False)
        if self.training:
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        else:
            mean, var = self.running_mean, self.variance(var)
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight

    def variance(self, var):
        return var


class Sound(Broken):
    def variance(self, var):
        return self.running_var


def inputs():
    return (torch.randn(6, 4) * 2,)
