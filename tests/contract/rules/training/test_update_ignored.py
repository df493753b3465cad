"""TRN005: stale weights after an update in place."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from layerwright.contract.check import check

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))


class Merged(nn.Module):
    """Keeps derived weights between calls."""

    def __init__(self, drop=False, always=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 5))
        self.kept = None
        self.drop = drop
        self.always = always

    def train(self, mode=True):
        if self.drop:
            self.kept = None
        return super().train(mode)

    def forward(self, x):
        if self.training and not self.always:
            return F.linear(x, self.weight.tanh())
        if self.kept is None:
            self.kept = self.weight.tanh().detach()
        return F.linear(x, self.kept)


class Counting(nn.Module):
    """Its answers depend on the number of calls, not on stale weights."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.fc(x) * self.calls


def found(layer, *inputs):
    """Return the findings of this rule alone."""
    report = check(layer, *inputs, select=["TRN005"])
    assert report.counts["error"] == 0, report.results
    return report.findings


@pytest.mark.parametrize("nested", [False, True])
def test_a_copy_that_is_kept_in_eval_is_stale(nested):
    """The attribute is named, also inside of a network."""
    layer = nn.Sequential(nn.Linear(5, 5), Merged()) if nested else Merged()
    (finding,) = found(layer, X)
    assert finding.severity == "error"
    assert finding.where == ("1.kept" if nested else "kept")
    assert "values differ" in finding.found


@pytest.mark.parametrize(
    "layer",
    [
        Merged(drop=True),
        Counting(),
        parametrizations.weight_norm(nn.Linear(5, 3)),
        parametrizations.spectral_norm(nn.Linear(5, 3)),
        nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)),
        nn.Sequential(nn.Linear(5, 6), nn.GRU(6, 3)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_a_layer_that_follows_passes(layer):
    """Kept weights that train() drops, parametrizations, running statistics."""
    if isinstance(layer, nn.Sequential) and isinstance(layer[1], nn.GRU):
        layer = nn.GRU(5, 3)
    assert found(layer, X) == ()


class ActNorm(nn.Module):
    """Takes its scale from the first batch; the flag is a plain attribute."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.log_scale = nn.Parameter(torch.zeros(3))
        self.started = False

    def forward(self, x):
        x = self.fc(x)
        if not self.started:
            self.log_scale.data.copy_(-x.detach().std(0).log())
            self.started = True
        return x * self.log_scale.exp()


class HiddenTeacher(nn.Module):
    """A moving average of its weights that the state does not hold."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.average = self.fc.weight.detach().clone()

    def forward(self, x):
        if self.training:
            self.average = 0.9 * self.average + 0.1 * self.fc.weight.detach()
        return self.fc(x) - F.linear(x, self.average)


@pytest.mark.parametrize("layer", [ActNorm(), HiddenTeacher()])
def test_other_faults_of_the_state_are_not_this_one(layer):
    """The layer follows its update; what a fresh one lacks is for SER004."""
    assert found(layer, X) == ()
