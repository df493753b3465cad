"""A recurrent cell that decays the weight of its candidate with every call."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"MOD004"}


class Broken(nn.Module):
    def __init__(self, input_size=4, hidden_size=6, decay=0.99):
        super().__init__()
        self.input_size, self.hidden_size, self.decay = input_size, hidden_size, decay
        self.gate = nn.Linear(input_size + hidden_size, hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)

    def forward(self, x, hidden):
        both = torch.cat([x, hidden], dim=-1)
        gate = torch.sigmoid(self.gate(both))
        return gate * hidden + (1 - gate) * torch.tanh(self.proposed(both))

    def proposed(self, both):
        with torch.no_grad():
            self.candidate.weight.mul_(self.decay)
        return self.candidate(both)


class Sound(Broken):
    def proposed(self, both):
        return self.decay * self.candidate(both)


def inputs():
    return torch.randn(5, 4), torch.randn(5, 6)
