"""A mixing layer that draws its weights from a new NumPy generator at each step."""

import numpy as np
import torch
from torch import nn

REFERENCE = ""
TRIGGERS = {"PUR011"}


class Broken(nn.Module):
    def __init__(self, num_features=6, alpha=0.5):
        super().__init__()
        self.alpha = alpha
        self.linear = nn.Linear(num_features, num_features)

    def weight(self, x):
        share = np.random.default_rng().beta(self.alpha, self.alpha, len(x))
        return torch.as_tensor(share, dtype=x.dtype, device=x.device)[:, None]

    def forward(self, x):
        x = self.linear(x)
        if not self.training:
            return x
        weight = self.weight(x)
        return weight * x + (1.0 - weight) * x.detach().mean()


class Sound(Broken):
    def weight(self, x):
        concentration = torch.full((len(x), 1), self.alpha, dtype=x.dtype, device=x.device)
        return torch.distributions.Beta(concentration, concentration).sample()


def inputs():
    return (torch.randn(4, 6),)
