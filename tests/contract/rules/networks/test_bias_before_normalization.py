"""NET004: a note on biases that a normalisation takes out."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

IMAGE = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))
X = torch.randn(8, 5, generator=torch.Generator().manual_seed(2))


class Centre(nn.Module):
    """A normalisation of somebody's own."""

    def forward(self, x):
        return (x - x.mean(0)) / (x.std(0) + 1e-5)


def found(layer, *inputs):
    """Return the findings of this rule alone."""
    report = check(layer, *inputs, select=["NET004"])
    assert report.counts["error"] == 0, report.results
    return report.findings


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), IMAGE),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)), IMAGE),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(4, 4)), IMAGE),
        (nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), X),
        (nn.Sequential(nn.Linear(5, 4), Centre()), X),
    ],
)
def test_a_bias_that_is_taken_out_gets_a_note(layer, x):
    """Whatever the normalisation is called."""
    (finding,) = found(layer, x)
    assert (finding.severity, finding.where) == ("note", "0.bias")
    assert "bias=False" in finding.fix


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)), IMAGE),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)), IMAGE),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)), IMAGE),
        (nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4)), X),
        (nn.Sequential(nn.Linear(5, 4), nn.Softmax(dim=1)), X),
        (nn.Sequential(nn.Linear(5, 4), nn.ReLU()), X),
        (nn.BatchNorm2d(3), IMAGE),
    ],
)
def test_a_bias_that_matters_passes(layer, x):
    """Layer and group norms keep differences between features."""
    assert found(layer, x) == ()


class Mapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4))

    def forward(self, x):
        return torch.func.vmap(self.net)(x)


def test_parts_inside_of_vmap_are_no_crash():
    """What they were given is dead outside of the map."""
    assert found(Mapped(), X) == ()
