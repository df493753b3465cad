"""A text classifier whose raw scores go into NLLLoss."""

import torch
from torch import nn
from torch.nn import functional as F

REFERENCE = ""
TRIGGERS = {"NET005"}
LOSS = nn.NLLLoss()
TARGET = torch.tensor([2, 0, 1, 1])


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.fc = nn.Linear(8, 3)

    def forward(self, tokens):
        return self.fc(self.embed(tokens).mean(1))


class Sound(Broken):
    def forward(self, tokens):
        return F.log_softmax(super().forward(tokens), dim=1)


def inputs():
    return (torch.randint(0, 20, (4, 7)),)
