"""A recurrent layer whose first state is always float32."""

import torch
from torch import nn

REFERENCE = "https://github.com/romulus0914/NASBench-PyTorch/pull/5"
TRIGGERS = {"DTY001"}


class Broken(nn.Module):
    def __init__(self, input_size=4, hidden_size=6):
        super().__init__()
        self.hidden_size = hidden_size
        self.cell = nn.GRUCell(input_size, hidden_size)

    def first_state(self, x):
        return torch.zeros(x.shape[0], self.hidden_size, device=x.device)

    def forward(self, x):
        hidden = self.first_state(x)
        states = []
        for step in range(x.shape[1]):
            hidden = self.cell(x[:, step], hidden)
            states.append(hidden)
        return torch.stack(states, dim=1)


class Sound(Broken):
    def first_state(self, x):
        return x.new_zeros(x.shape[0], self.hidden_size)


def inputs():
    return (torch.randn(3, 5, 4),)
