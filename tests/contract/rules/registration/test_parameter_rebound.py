"""REG012: parameters that a call replaces."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def judged(layer, *inputs):
    """Return the result of REG012."""
    (result,) = check(layer, *inputs, select=["REG012"]).results
    return result


class Clipped(nn.Linear):
    def forward(self, x):
        self.weight = nn.Parameter(self.weight.clamp(-0.5, 0.5))
        return super().forward(x)


class Merged(nn.Linear):
    def train(self, mode=True):
        self.weight = nn.Parameter(self.weight.detach().clone())
        return super().train(mode)


class OnlyEval(nn.Linear):
    def forward(self, x):
        if not self.training:
            self.bias = nn.Parameter(self.bias.detach() * 1.0)
        return super().forward(x)


@pytest.mark.parametrize(
    ("layer", "where"),
    [
        (Clipped(3, 2), "weight"),
        (Merged(3, 2), "weight"),
        (OnlyEval(3, 2), "bias"),
        (nn.Sequential(nn.Linear(3, 3), Clipped(3, 2)), "1.weight"),
    ],
)
def test_a_parameter_that_is_replaced_is_an_error(layer, where):
    """By forward in either mode, or by train()."""
    (finding,) = judged(layer, torch.randn(4, 3)).findings
    assert (finding.severity, finding.where) == ("error", where)
    assert "are other objects" in finding.found


class InPlace(nn.Linear):
    def forward(self, x):
        with torch.no_grad():
            self.weight.clamp_(-0.5, 0.5)
        return super().forward(x)

    def train(self, mode=True):
        self.weight.data = self.weight.data * 1.0
        return super().train(mode)


@pytest.mark.parametrize(
    "layer",
    [
        InPlace(3, 2),
        nn.LSTM(3, 3),
        nn.LazyLinear(2),
        nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)),
        nn.utils.spectral_norm(nn.Linear(3, 3)),
        nn.BatchNorm1d(3),
    ],
)
def test_sound_layers_pass(layer):
    """Writing into a parameter, and what torch's own tools do."""
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"
