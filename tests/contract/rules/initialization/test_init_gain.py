"""INI003: layers that change the scale of their signal."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def judged(layer, *inputs):
    """Return the result of INI003."""
    (result,) = check(layer, *inputs, select=["INI003"]).results
    return result


class Dense(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.weight = nn.Parameter(scale * torch.randn(64, 64))

    def forward(self, x):
        return x @ self.weight


def huge_head():
    layer = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 32))
    nn.init.normal_(layer[1].weight, std=100.0)
    return layer


@pytest.mark.parametrize(
    ("layer", "where"),
    [(Dense(1e-4), "weight"), (Dense(100.0), "weight"), (huge_head(), "1.weight")],
)
def test_a_gain_far_from_one_is_a_note(layer, where):
    """With the weight that does it."""
    (finding,) = judged(layer, torch.randn(4, 64)).findings
    assert finding.severity == "note"
    assert where in finding.found


def test_the_gain_that_is_told_is_the_standard_deviation():
    """For weights w the output has the deviation |w| of a random sum."""
    (finding,) = judged(Dense(1e-4), torch.randn(4, 64)).findings
    assert float(finding.found.split(";")[0]) == pytest.approx(1e-4 * 8.0, rel=0.3)


def zero_head():
    layer = nn.Linear(64, 8)
    for item in layer.parameters():
        nn.init.zeros_(item)
    return layer


@pytest.mark.parametrize(
    "layer", [Dense(0.125), nn.LSTM(64, 8), nn.Linear(64, 8), zero_head(), nn.LazyLinear(8)]
)
def test_sound_layers_pass(layer):
    """Default initialisation, and a head of zeros."""
    assert judged(layer, torch.randn(4, 64)).outcome == "passed"


@pytest.mark.parametrize("x", [torch.rand(4, 64), torch.randn(1, 2)])
def test_inputs_of_another_domain_are_not_judged(x):
    """Probabilities, and too few values."""
    assert judged(Dense(1.0) if x.shape[1] == 64 else nn.Linear(2, 2), x).outcome == "skipped"
