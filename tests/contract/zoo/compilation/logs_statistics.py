"""An attention block that keeps the entropy of its weights as a Python number for a log."""

import torch
from torch import nn

REFERENCE = "https://github.com/pytorch/pytorch/issues/115774"
TRIGGERS = {"CMP001"}
TIER = "full"


class Broken(nn.Module):
    def __init__(self, dim=8):
        super().__init__()
        self.qkv = nn.Linear(dim, 3 * dim)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(-1)
        self.report(weights)
        return weights @ v

    def report(self, weights):
        print(f"entropy {-(weights * weights.log()).sum(-1).mean().tolist():.3f}")


class Sound(Broken):
    def report(self, weights):
        pass


def inputs():
    return (torch.randn(3, 5, 8),)
