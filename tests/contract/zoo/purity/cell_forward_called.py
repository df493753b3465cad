"""A recurrent layer that steps through time with its cell's forward."""

import torch
from torch import nn

REFERENCE = "https://github.com/NVIDIA/Megatron-LM/issues/5789"
TRIGGERS = {"PUR007"}


class Broken(nn.Module):
    def __init__(self, input_size=4, hidden_size=5):
        super().__init__()
        self.hidden_size = hidden_size
        self.cell = nn.GRUCell(input_size, hidden_size)

    def step(self, x, hidden):
        return self.cell.forward(x, hidden)

    def forward(self, x):
        hidden = x.new_zeros(x.shape[0], self.hidden_size)
        outputs = []
        for part in x.unbind(1):
            hidden = self.step(part, hidden)
            outputs.append(hidden)
        return torch.stack(outputs, 1)


class Sound(Broken):
    def step(self, x, hidden):
        return self.cell(x, hidden)


def inputs():
    return (torch.randn(3, 4, 4),)
