"""A custom operator whose fake kernel promises another dtype."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"CMP009"}
TIER = "full"


@torch.library.custom_op("layerwright_zoo::bucket", mutates_args=())
def bucket(x: torch.Tensor) -> torch.Tensor:
    return (x > 0).to(torch.int64)


@torch.library.custom_op("layerwright_zoo::bucket_declared", mutates_args=())
def bucket_declared(x: torch.Tensor) -> torch.Tensor:
    return (x > 0).to(torch.int64)


@bucket.register_fake
def _(x):
    return torch.empty_like(x, dtype=torch.int32)


@bucket_declared.register_fake
def _(x):
    return torch.empty_like(x, dtype=torch.int64)


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.values = nn.Parameter(torch.randn(2))

    def forward(self, x):
        return x * self.values[self.bucket(x.detach())]

    def bucket(self, x):
        return bucket(x)


class Sound(Broken):
    def bucket(self, x):
        return bucket_declared(x)


def inputs():
    return (torch.randn(4, 6),)
