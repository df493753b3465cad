"""Constructors that read values cannot run without memory."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class Rates(nn.Module):
    def __init__(self, depth=3):
        super().__init__()
        self.rates = [rate.item() for rate in torch.linspace(0, 0.1, depth)]

    def forward(self, x):
        return x * self.rates[0]


class Orthogonal(nn.Module):
    def __init__(self):
        super().__init__()
        weight = torch.randn(4, 4)
        if torch.linalg.det(weight) < 0:
            weight = -weight
        self.weight = nn.Parameter(weight)

    def forward(self, x):
        return x @ self.weight


class FromNumpy(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.from_numpy(torch.ones(4, device="cpu").numpy()))

    def forward(self, x):
        return x * self.table


@pytest.mark.parametrize("layer", [Rates, Orthogonal])
def test_constructors_that_read_values_are_noted(layer):
    """With the line that reads."""
    (finding,) = check(layer, torch.randn(3, 4), select=["DEV003"]).findings
    assert finding.severity == "note"
    assert finding.where == "__init__"
    assert finding.file == __file__


@pytest.mark.parametrize(
    "layer", [FromNumpy, lambda: nn.Linear(4, 4), lambda: nn.MultiheadAttention(4, 2)]
)
def test_sound_constructors_pass(layer):
    """Data that is on the CPU on purpose does not matter."""
    assert check(layer, torch.randn(3, 4), select=["DEV003"]).findings == ()
