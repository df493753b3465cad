"""A mixture of experts whose router only picks: nothing tells it what to pick."""

import torch
from torch import nn

REFERENCE = "https://arxiv.org/abs/2101.03961"
TRIGGERS = {"TRN003"}


class Broken(nn.Module):
    def __init__(self, dim=6, experts=3):
        super().__init__()
        self.router = nn.Linear(dim, experts)
        self.experts = nn.ModuleList(nn.Linear(dim, dim) for _ in range(experts))

    def weigh(self, chosen, weights):
        return chosen

    def forward(self, x):
        weights = self.router(x).softmax(-1)
        picked = weights.argmax(-1, keepdim=True)
        every = torch.stack([expert(x) for expert in self.experts], dim=1)
        chosen = every.gather(1, picked[..., None].expand(-1, 1, x.shape[-1]))[:, 0]
        return self.weigh(chosen, weights.gather(1, picked))


class Sound(Broken):
    def weigh(self, chosen, weights):
        return chosen * weights


def inputs():
    return (torch.randn(16, 6),)
