"""SER004: what state_dict forgets, and what it may leave out."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(6, 3)


def judge(layer):
    """Run the rule alone."""
    return check(layer, X, select=["SER004"])


class RandomScale(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = float(torch.rand(()) + 0.5)

    def forward(self, x):
        return self.scale * x


class Statistics(nn.Module):
    def __init__(self, *, persistent=False):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3), persistent=persistent)

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                self.mean.lerp_(x.mean(dim=0) + x[0], 0.5)
        return x - self.mean


class NeedsArgument(Statistics):
    def __init__(self, table):
        super().__init__()
        self.size = len(table)


class Drops(nn.Linear):
    def _save_to_state_dict(self, destination, prefix, keep_vars):
        destination[prefix + "weight"] = self.weight if keep_vars else self.weight.detach()

    def load_state_dict(self, state_dict, strict=True, assign=False):
        return super().load_state_dict(state_dict, strict=False)


class Refuses(nn.Linear):
    def get_extra_state(self):
        return 3


class Constants(nn.Module):
    def __init__(self, dim=3):
        super().__init__()
        self.dim = dim
        self.register_buffer("table", torch.linspace(0, 1, dim), persistent=False)
        self.cache = None

    def forward(self, x):
        if self.cache is None:
            self.cache = torch.ones(self.dim)
        return x + self.table * self.cache


class FixedProjection(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("directions", torch.randn(3, 5))

    def forward(self, x):
        return x @ self.directions


class Stream(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 3)
        self.hidden = None

    def forward(self, x):
        hidden = self.cell(x, self.hidden)
        self.hidden = hidden.detach()
        return hidden


def test_a_number_drawn_in_the_constructor_is_reported():
    """With its name and both values."""
    (finding,) = judge(RandomScale).findings
    assert (finding.severity, finding.where) == ("error", "scale")
    assert "scale differs" in finding.found
    assert judge(nn.Sequential(RandomScale())).findings[0].where == "0.scale"


@pytest.mark.parametrize(
    "layer", [Statistics(), NeedsArgument({"a": 1}), nn.Sequential(Statistics())]
)
def test_statistics_of_training_that_are_not_saved_are_reported(layer):
    """Also of an instance that cannot be built again."""
    (finding,) = judge(layer).findings
    assert finding.where.endswith("mean")
    assert "of 18 values differ" in finding.found


def test_a_parameter_that_is_not_saved_is_reported():
    """Overridden saving forgets the bias."""
    (finding,) = judge(Drops(3, 2)).findings
    assert finding.where == "bias"


def test_a_state_that_cannot_be_loaded_is_reported():
    """With what load_state_dict raised."""
    (finding,) = judge(Refuses(3, 2)).findings
    assert finding.where == "load_state_dict"
    assert "_extra_state" in finding.found


@pytest.mark.parametrize(
    "layer",
    [
        Constants(),
        FixedProjection(),
        Statistics(persistent=True),
        Stream(),
        nn.BatchNorm1d(3),
        nn.utils.parametrizations.spectral_norm(nn.Linear(3, 3)),
        nn.Sequential(nn.LazyLinear(4), nn.PReLU()),
    ],
)
def test_what_may_stay_out_passes(layer):
    """Constants, caches, saved projections, and memories of a stream."""
    assert judge(layer).counts == {"passed": 1}
