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
