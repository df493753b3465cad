"""A center layer that moves its centers in place although they require gradients."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"MOD008"}


class Broken(nn.Module):
    requires_grad = True

    def __init__(self, num_centers=4, dim=3, rate=0.1):
        super().__init__()
        self.num_centers, self.dim, self.rate = num_centers, dim, rate
        centers = torch.randn(num_centers, dim)
        self.centers = nn.Parameter(centers, requires_grad=self.requires_grad)
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        nearest = torch.cdist(x, self.centers).argmin(dim=-1)
        offset = self.scale * (x - self.centers[nearest])
        if self.training:
            self.centers.index_add_(0, nearest, x.detach() - self.centers[nearest], alpha=self.rate)
        return offset


class Sound(Broken):
    requires_grad = False

    def forward(self, x):
        nearest = torch.cdist(x, self.centers).argmin(dim=-1)
        center = self.centers[nearest]
        if self.training:
            self.centers.index_add_(0, nearest, x.detach() - center, alpha=self.rate)
        return self.scale * (x - center)


def inputs():
    return (torch.randn(8, 3),)
