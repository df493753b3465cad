"""INI001: values that nobody wrote."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def judged(layer, *inputs):
    """Return the result of INI001."""
    (result,) = check(layer, *inputs, select=["INI001"]).results
    return result


class Empty(nn.Module):
    def __init__(self, num_features=3):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_features, num_features))
        self.bias = nn.Parameter(torch.zeros(num_features))

    def forward(self, x):
        return x @ self.weight + self.bias


class HalfWritten(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.Tensor(4, 3))
        with torch.no_grad():
            self.table[:2].normal_()

    def forward(self, x):
        return x + self.table[0]


class EmptyOutput(nn.Module):
    def forward(self, x):
        out = torch.empty_like(x)
        out[..., :-1] = x[..., 1:]
        return out


class EmptyBuffer(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.empty(3))

    def forward(self, x):
        return x - self.mean


def test_a_parameter_from_empty_is_an_error():
    """The count of values is told, and the line."""
    (finding,) = judged(nn.Sequential(Empty()), torch.randn(4, 3)).findings
    assert (finding.severity, finding.where) == ("error", "0.weight")
    assert "9 of 9 values" in finding.found
    assert finding.file.endswith("test_uninitialized_memory.py")


def test_a_parameter_that_is_written_in_part_is_an_error():
    """Also where the example does not read it."""
    (finding,) = judged(HalfWritten(), torch.randn(4, 3)).findings
    assert "6 of 12 values" in finding.found


@pytest.mark.parametrize(
    ("layer", "where", "count"),
    [(EmptyOutput(), "forward", "4 of 12"), (EmptyBuffer(), "the constructor", "12 of 12")],
)
def test_memory_that_reaches_the_output_is_an_error(layer, where, count):
    """From forward, and from a buffer."""
    (finding,) = judged(layer, torch.randn(4, 3)).findings
    assert finding.where == where
    assert count in finding.found


class Written(Empty):
    def __init__(self, num_features=3):
        super().__init__(num_features)
        nn.init.normal_(self.weight)


class Scratch(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("scratch", torch.empty(4, 3), persistent=False)
        self.unset = nn.Parameter(torch.full((3,), float("nan")))

    def forward(self, x):
        self.scratch.copy_(x.detach())
        return x + self.scratch


@pytest.mark.parametrize(
    "layer", [Written(), Scratch(), nn.LSTM(3, 3), nn.LazyLinear(2), nn.Identity()]
)
def test_sound_layers_pass(layer):
    """Written later, overwritten before use, or NaN on purpose."""
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"
    assert not torch.are_deterministic_algorithms_enabled()
