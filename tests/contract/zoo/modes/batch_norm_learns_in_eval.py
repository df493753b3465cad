"""A batch norm for sequences that goes on learning its statistics when it is evaluated."""

import torch
from torch import nn

REFERENCE = "https://github.com/pyg-team/pytorch_geometric/pull/4978"
TRIGGERS = {"MOD003"}


class Broken(nn.Module):
    def __init__(self, num_features=4, momentum=0.2, eps=1e-5):
        super().__init__()
        self.num_features, self.momentum, self.eps = num_features, momentum, eps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x):
        mean, var = x.mean(dim=(0, 1)), x.var(dim=(0, 1), unbiased=False)
        if self.updates():
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var, self.momentum)
        if not self.training:
            mean, var = self.running_mean, self.running_var
        return (x - mean) / torch.sqrt(var + self.eps) * self.weight

    def updates(self):
        return True


class Sound(Broken):
    def updates(self):
        return self.training


def inputs():
    return (torch.randn(6, 5, 4) * 2 + 1,)
