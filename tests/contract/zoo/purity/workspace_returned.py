"""A linear layer that saves an allocation by returning its own workspace in eval mode."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR002"}


class Broken(nn.Module):
    def __init__(self, in_features=6, out_features=5):
        super().__init__()
        self.linear = nn.Linear(in_features, out_features)
        self.workspace = {}

    def forward(self, x):
        answer = self.linear(x)
        if self.training:
            return answer
        return self.stored(answer)

    def stored(self, answer):
        key = (answer.shape, answer.dtype)
        place = self.workspace.get(key)
        if place is None:
            place = self.workspace[key] = answer.detach().clone()
        return place.copy_(answer.detach())


class Sound(Broken):
    def stored(self, answer):
        return answer


def inputs():
    return (torch.randn(4, 6),)
