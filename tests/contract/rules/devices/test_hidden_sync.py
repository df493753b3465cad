"""Lines that wait for the device are noted, with their place."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class Clip(nn.Module):
    def forward(self, x):
        norm = x.norm().item()
        return x / max(norm, 1.0)


class Select(nn.Module):
    def forward(self, x):
        return x[x > 0]


class Guard(nn.Module):
    def forward(self, x):
        if torch.isnan(x).any():
            raise ValueError("not a number")
        return x * 2


class Rates(nn.Module):
    def forward(self, x):
        rates = torch.linspace(0, 1, 4).tolist()  # on the CPU: no device waits
        return x * rates[1] * x.shape[0]


@pytest.mark.parametrize(
    ("layer", "operator"),
    [
        (Clip(), "aten::_local_scalar_dense"),
        (Select(), "aten::"),
        (Guard(), "aten::_local_scalar_dense"),
    ],
)
def test_reads_are_noted(layer, operator):
    """Reading a value, boolean indexing, a guard that looks at the values."""
    (finding,) = check(layer, torch.randn(3, 4), select=["DEV002"]).findings
    assert finding.severity == "note"
    assert operator in finding.found
    assert finding.file == __file__


@pytest.mark.parametrize("layer", [Rates(), nn.Linear(4, 2), nn.BatchNorm1d(4), nn.GRU(4, 2)])
def test_sound_layers_pass(layer):
    """Values of tensors on the CPU cost nothing."""
    assert check(layer, torch.randn(3, 4), select=["DEV002"]).findings == ()


def test_a_declared_router_is_excused():
    """Shapes that depend on values need them."""
    layer = Select()
    type(layer).__layerwright_traits__ = {"data_dependent_shape": True}
    try:
        (result,) = check(layer, torch.randn(3, 4), select=["DEV002"]).results
    finally:
        del type(layer).__layerwright_traits__
    assert result.outcome == "skipped"
