"""A learned shift for each channel that is cut to a whole number by `int`."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"TRN003"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 3, 1)
        self.shift = nn.Parameter(torch.tensor([0.4, 1.6, 2.2]))

    def move(self, x):
        return torch.stack([x[:, i].roll(int(s), -1) for i, s in enumerate(self.shift)], dim=1)

    def forward(self, x):
        return self.move(self.conv(x))


class Sound(Broken):
    def move(self, x):
        whole = self.shift.floor().detach()
        rest = (self.shift - whole)[:, None]
        place = torch.arange(x.shape[-1], device=x.device) - whole[:, None].long()
        one = (place % x.shape[-1]).expand(x.shape)
        other = ((place - 1) % x.shape[-1]).expand(x.shape)
        return x.gather(2, one) * (1 - rest) + x.gather(2, other) * rest


def inputs():
    return (torch.randn(2, 3, 6),)
