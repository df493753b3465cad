"""A word dropout whose generator seeds itself from the system at each step."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR011"}


class Broken(nn.Module):
    def __init__(self, vocabulary=9, dim=6, p=0.4):
        super().__init__()
        self.p = p
        self.embedding = nn.Embedding(vocabulary, dim)

    def kept(self, ids):
        generator = torch.Generator(ids.device)
        generator.seed()
        return torch.rand(ids.shape, generator=generator, device=ids.device) > self.p

    def forward(self, ids):
        words = self.embedding(ids)
        return words * self.kept(ids)[..., None] if self.training else words


class Sound(Broken):
    def kept(self, ids):
        return torch.rand(ids.shape, device=ids.device) > self.p


def inputs():
    return (torch.randint(0, 9, (5, 8)),)
