"""An adapter that saves its projections only, and forgets the gate that it trains too."""

import torch
from torch import nn

REFERENCE = "https://github.com/huggingface/transformers/issues/48892"
TRIGGERS = {"SER004"}


class Broken(nn.Module):
    left_out = ("gate",)

    def __init__(self, dim=6, rank=2):
        super().__init__()
        self.dim, self.rank = dim, rank
        self.down = nn.Linear(dim, rank, bias=False)
        self.up = nn.Linear(rank, dim, bias=False)
        self.gate = nn.Parameter(torch.full((dim,), 0.5))

    def state_dict(self, *args, **kwargs):
        state = super().state_dict(*args, **kwargs)
        for name in self.left_out:
            state.pop(kwargs.get("prefix", "") + name, None)
        return state

    def load_state_dict(self, state_dict, strict=True, assign=False):
        return super().load_state_dict(state_dict, strict=not self.left_out, assign=assign)

    def forward(self, x):
        return x + self.gate * self.up(self.down(x))


class Sound(Broken):
    left_out = ()


def inputs():
    return (torch.randn(4, 6),)
