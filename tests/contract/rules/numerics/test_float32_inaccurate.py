"""Digits that a formula loses, and not the problem."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class GroupNorm(nn.Module):
    def __init__(self, *, stable=False):
        super().__init__()
        self.stable = stable
        self.weight = nn.Parameter(torch.ones(8))

    def forward(self, x):
        mean = x.mean(-1, keepdim=True)
        if self.stable:
            variance = (x - mean).square().mean(-1, keepdim=True)
        else:
            variance = x.square().mean(-1, keepdim=True) - mean.square()
        return (x - mean) / (variance + 1e-5).sqrt() * self.weight


class BatchNorm(nn.Module):
    def forward(self, x):
        if not self.training:
            return x
        variance = x.square().mean(0) - x.mean(0).square()
        return (x - x.mean(0)) / (variance.clamp_min(0) + 1e-5).sqrt()


@pytest.mark.parametrize(("layer", "mode"), [(GroupNorm(), "eval"), (BatchNorm(), "training")])
def test_a_difference_of_squares_is_found(layer, mode):
    """In the mode where it is computed."""
    (finding,) = check(layer, 2.0 * torch.randn(32, 8), select=["NUM004"]).findings
    assert finding.severity == "warning"
    assert mode in finding.where
    assert "explain" in finding.found


class Ranked(nn.Module):
    def forward(self, x):
        return x.argsort(-1).to(x.dtype)


class Chaos(nn.Module):
    def forward(self, x):
        for _ in range(40):
            x = 3.9 * x.sigmoid() * (1 - x.sigmoid()) + torch.sin(50 * x)
        return x


@pytest.mark.parametrize(
    "layer",
    [
        GroupNorm(stable=True),
        Ranked(),
        Chaos(),
        nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4)),
        nn.BatchNorm1d(8),
        nn.GRU(8, 4),
        nn.Tanhshrink(),
        nn.InstanceNorm1d(8),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_sound_layers_pass(layer):
    """Stable formulas, jumps, and problems that lose the digits themselves."""
    report = check(layer, 2.0 * torch.randn(32, 8), select=["NUM004"])
    assert report.findings == ()
    assert report.counts["error"] == 0


class Noise(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


def test_what_draws_random_numbers_is_skipped():
    """In float64 other numbers are drawn."""
    layer = nn.Sequential(Noise(), GroupNorm(stable=True))
    report = check(layer, 2.0 * torch.randn(32, 8), select=["NUM004"])
    assert report.counts["skipped"] == 1
