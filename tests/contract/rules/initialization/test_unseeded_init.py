"""INI004: values that torch's seed does not decide."""

import random

import numpy as np
import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def judged(layer, *inputs):
    """Return the result of INI004."""
    (result,) = check(layer, *inputs, select=["INI004"]).results
    return result


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        generator = torch.Generator()
        generator.seed()
        self.weight = nn.Parameter(torch.randn(3, 3, generator=generator))

    def forward(self, x):
        return x @ self.weight


class Numpy(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(np.random.randn(3, 3), dtype=torch.float32))

    def forward(self, x):
        return x @ self.weight


class Order(nn.Module):
    def __init__(self):
        super().__init__()
        order = list(range(100))
        random.shuffle(order)
        self.order = torch.tensor(order)

    def forward(self, x):
        return x[..., self.order[:3] % 3]


@pytest.mark.parametrize(
    ("layer", "where", "source"),
    [
        (Own, "weight", "no seed reaches"),
        (Numpy, "weight", "numpy"),
        (Order, "order", "random"),
        (lambda: nn.Sequential(nn.Linear(3, 3), Own()), "1.weight", "no seed reaches"),
    ],
)
def test_values_beyond_the_seed_are_a_warning(layer, where, source):
    """The tensor and the kind of generator are named."""
    (finding,) = judged(layer, torch.randn(4, 3)).findings
    assert (finding.severity, finding.where) == ("warning", where)
    assert source in finding.found


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        values = np.random.default_rng(0).normal(size=(3, 3))
        self.register_buffer("weight", torch.tensor(values, dtype=torch.float32))

    def forward(self, x):
        return x @ self.weight


@pytest.mark.parametrize(
    "layer", [Fixed(), nn.Linear(3, 3), nn.LSTM(3, 3), nn.LazyLinear(2), nn.Identity()]
)
def test_sound_layers_pass(layer):
    """Torch's generator, and a fixed seed of the layer's own."""
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"
