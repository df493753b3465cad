"""A token mixer that keeps the softmax of its weights, and uses it for training too."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"MOD005"}


class Broken(nn.Module):
    def __init__(self, num_tokens=5):
        super().__init__()
        self.num_tokens = num_tokens
        self.logits = nn.Parameter(torch.randn(num_tokens, num_tokens))
        self.kept = {}

    def forward(self, x):
        return self.mixing() @ x

    def mixing(self):
        key = (self.logits._version, self.logits.device, self.logits.dtype)
        if torch.is_grad_enabled() and key not in self.kept:
            return self.computed()
        if key not in self.kept:
            self.kept = {key: self.computed()}
        return self.kept[key]

    def computed(self):
        return torch.softmax(self.logits, dim=-1)


class Sound(Broken):
    def mixing(self):
        return self.computed()


def inputs():
    return (torch.randn(3, 5, 6),)
