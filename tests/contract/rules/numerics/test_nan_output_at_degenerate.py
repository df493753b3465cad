"""Outputs that are not finite for zeros and constants."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class Standardize(nn.Module):
    def __init__(self, eps=0.0):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + self.eps)


class Range(nn.Module):
    def forward(self, x):
        low, high = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
        return (x - low) / (high - low)


class Cosine(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 6))

    def forward(self, x):
        return (x / x.norm(dim=-1, keepdim=True)) @ self.weight.t()


@pytest.mark.parametrize("layer", [Standardize(), Range(), Cosine()])
def test_a_division_by_zero_is_found(layer):
    """By a standard deviation, a range, a norm; with its line."""
    (finding,) = check(layer, torch.randn(4, 6), select=["NUM005"]).findings
    assert finding.severity == "warning"
    assert "aten::div" in finding.found
    assert finding.file == __file__


@pytest.mark.parametrize(
    "layer", [Standardize(1e-5), nn.LayerNorm(6), nn.LSTM(6, 3), nn.Softmin(1)]
)
def test_sound_layers_pass(layer):
    """With an eps, or torch's own."""
    assert check(layer, torch.randn(4, 6), select=["NUM005"]).counts["passed"] == 1


class Likelihood(nn.Module):
    """A logarithm of a variance that may be zero."""

    def __init__(self, least=0.0):
        super().__init__()
        self.least = least

    def forward(self, x):
        variance = x.relu() + self.least
        return variance.log() + x.relu() / variance


class Masked(nn.Module):
    def forward(self, x):
        return x.masked_fill(x < 0, float("-inf"))


def test_nan_for_the_example_itself_is_found():
    """Also where it keeps all other rules of this family from judging."""
    (finding,) = check(Likelihood(), torch.randn(4, 6), select=["NUM005"]).findings
    assert finding.where == "forward, the example inputs"
    assert finding.severity == "warning"
    assert finding.file == __file__
    assert check(Likelihood(1e-3), torch.randn(4, 6), select=["NUM005"]).findings == ()


def test_infinity_and_nan_that_was_there_are_not_reported():
    """Scores may be masked with it, and NaN in the inputs or in the state is not the layer's."""
    given = torch.randn(4, 6)
    unset = nn.Linear(6, 3)
    nn.init.constant_(unset.bias, float("nan"))
    for layer, x in [(Masked(), given), (unset, given), (Range(), given.log())]:
        assert check(layer, x, select=["NUM005"]).counts == {"skipped": 1}


@pytest.mark.parametrize(
    "x",
    [
        torch.randn(4, 6).softmax(-1),
        nn.functional.normalize(torch.randn(4, 6)),
        torch.randn(4, 6).sort(-1).values,
        torch.randn(4, 6).round(),
    ],
    ids=["probabilities", "unit", "sorted", "whole"],
)
def test_special_inputs_are_left_alone(x):
    """Constants may lie outside of what the layer is made for."""
    assert check(Range(), x, select=["NUM005"]).counts["skipped"] == 1
