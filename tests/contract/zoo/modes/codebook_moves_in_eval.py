"""A vector quantiser whose codes follow the data by a moving average, in eval mode too."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = ""
TRIGGERS = {"MOD003"}


class Broken(nn.Module):
    def __init__(self, num_codes=8, dim=4, decay=0.8):
        super().__init__()
        self.num_codes, self.dim, self.decay = num_codes, dim, decay
        self.register_buffer("codes", torch.randn(num_codes, dim))
        self.register_buffer("sizes", torch.ones(num_codes))
        self.register_buffer("sums", self.codes.clone())

    def forward(self, x):
        index = torch.cdist(x, self.codes).argmin(dim=-1)
        quantised = F.embedding(index, self.codes)
        if self.updates():
            self.follow(x.detach(), index)
        return x + (quantised - x).detach()

    @torch.no_grad()
    def follow(self, x, index):
        chosen = F.one_hot(index, self.num_codes).to(x.dtype)
        self.sizes.lerp_(chosen.sum(dim=0), 1 - self.decay)
        self.sums.lerp_(chosen.T @ x, 1 - self.decay)
        self.codes.copy_(self.sums / self.sizes.clamp(min=1e-3)[:, None])

    def updates(self):
        return True


class Sound(Broken):
    def updates(self):
        return self.training


def inputs():
    return (torch.randn(16, 4),)
