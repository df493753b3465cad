"""CMP007 functional-call-ignored."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["CMP007"]).results
    assert found.outcome != "error", found.reason
    return found


class Views(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6, 3))
        self.parts = self.weight.detach().chunk(2)

    def forward(self, x):
        return F.linear(x, self.parts[0] * self.parts[1]) + F.linear(x, self.weight[:3])


class Closure(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.steps = [lambda x: self.inner(x).relu()]

    def forward(self, x):
        return self.steps[0](x)


class HeldParameter(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))
        weight = self.weight
        self.project = lambda x: F.linear(x, weight)

    def forward(self, x):
        return self.project(x)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(3, 3)
        self.decode = nn.Linear(3, 3)
        self.decode.weight = self.encode.weight

    def forward(self, x):
        return self.decode(self.encode(x))


def test_parameters_that_are_held_elsewhere_are_found():
    """In views, and in a function."""
    found = result(Views(), torch.randn(4, 3))
    assert [item.where for item in found.findings] == ["weight"]
    assert found.findings[0].severity == "warning"
    assert "nan instead of" in found.findings[0].found
    assert result(HeldParameter(), torch.randn(4, 3)).findings[0].file == __file__


def test_what_reads_its_attributes_passes():
    """A closure over self, tied weights, norms of weights, recurrent layers."""
    for layer in (
        Closure(),
        Tied(),
        spectral_norm(nn.Linear(3, 3)),
        parametrizations.weight_norm(nn.Linear(3, 3)),
        nn.LSTM(3, 4),
    ):
        assert result(layer, torch.randn(4, 3)).outcome == "passed"
