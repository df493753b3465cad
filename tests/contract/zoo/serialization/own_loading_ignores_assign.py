"""A mixer whose own load_state_dict copies value by value, whatever `assign` says."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"SER006"}


class Broken(nn.Module):
    def __init__(self, num_tokens=5, dim=6):
        super().__init__()
        self.num_tokens, self.dim = num_tokens, dim
        self.tokens = nn.Linear(num_tokens, num_tokens)
        self.channels = nn.Linear(dim, dim)

    def load_state_dict(self, state_dict, strict=True, assign=False):
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(state_dict[name])

    def forward(self, x):
        x = x + self.tokens(x.mT).mT
        return x + self.channels(x)


class Sound(Broken):
    def load_state_dict(self, state_dict, strict=True, assign=False):
        return nn.Module.load_state_dict(self, state_dict, strict=strict, assign=assign)


def inputs():
    return (torch.randn(3, 5, 6),)
