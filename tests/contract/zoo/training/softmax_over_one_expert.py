"""A mixture of experts that normalises the gate behind top-1: the router gets no gradient."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"TRN002"}


class Broken(nn.Module):
    def __init__(self, dim=8, num_experts=3):
        super().__init__()
        self.router = nn.Linear(dim, num_experts, bias=False)
        self.experts = nn.ModuleList(nn.Linear(dim, dim) for _ in range(num_experts))

    def routed(self, scores):
        chosen, index = scores.topk(1, dim=-1)
        return chosen.softmax(dim=-1), index

    def forward(self, x):
        gate, index = self.routed(self.router(x))
        answers = torch.stack([expert(x) for expert in self.experts], dim=1)
        return gate * answers.gather(1, index.unsqueeze(-1).expand(-1, 1, x.shape[1]))[:, 0]


class Sound(Broken):
    def routed(self, scores):
        return scores.softmax(dim=-1).topk(1, dim=-1)


def inputs():
    return (torch.randn(12, 8),)
