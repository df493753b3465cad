"""Unknown tokens are set to zero in the caller's tensor."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR001"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb = nn.Embedding(10, 4)
        self.fc = nn.Linear(4, 2)

    def safe(self, t):
        t[t >= 10] = 0
        return t

    def forward(self, t):
        return self.fc(self.emb(self.safe(t)).mean(1))


class Sound(Broken):
    def safe(self, t):
        return t.masked_fill(t >= 10, 0)


def inputs():
    return (torch.tensor([[1, 12, 3, 4], [15, 2, 9, 11]]),)
