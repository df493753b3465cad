"""The noise schedule of a diffusion model is a plain tensor."""

import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"REG003"}


class Broken(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Conv2d(3, 3, 3, padding=1)
        self.schedule(torch.linspace(1e-4, 0.02, 50))

    def schedule(self, betas):
        self.abar = torch.cumprod(1 - betas, 0)

    def forward(self, x, noise, t):
        a = self.abar[t][:, None, None, None]
        return self.net(a.sqrt() * x + (1 - a).sqrt() * noise)


class Sound(Broken):
    def schedule(self, betas):
        self.register_buffer("abar", torch.cumprod(1 - betas, 0))


def inputs():
    return (torch.randn(2, 3, 6, 6), torch.randn(2, 3, 6, 6), torch.randint(0, 50, (2,)))
