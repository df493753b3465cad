"""PRF003 double-precision-inside."""

import linecache

import numpy as np
import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["PRF003"]).results
    assert found.outcome != "error", found.reason
    return found


class Layer(nn.Module):
    """A linear layer, and a function of its answer and a float64 table."""

    def __init__(self, function):
        super().__init__()
        self.linear, self.function = nn.Linear(4, 4), function
        self.register_buffer("table", torch.from_numpy(np.arange(4.0) + 1.0))
        self.register_buffer("total", torch.zeros(4, dtype=torch.float64))

    def forward(self, x):
        return self.function(self, self.linear(x))


def numpy_constant(_, y):
    """Make a float64 tensor in forward."""
    return (y + torch.from_numpy(np.ones(4))).float()


@pytest.mark.parametrize(
    "function",
    [lambda m, y: y * m.table, numpy_constant, lambda _, y: y - torch.tensor(np.ones(4))],
)
def test_an_accidental_promotion_is_found(function):
    """A buffer or a constant that NumPy made."""
    (found,) = result(Layer(function), torch.randn(2, 4)).findings
    assert found.severity == "warning"
    assert "float32 (2, 4) and float64 (4,) returns float64" in found.found
    assert linecache.getline(found.file, found.line)


@pytest.mark.parametrize(
    "function",
    [
        lambda m, y: y * m.table.to(y.dtype),
        lambda m, y: (y.double() * m.table).float(),
        lambda _, y: (y * torch.arange(4, dtype=torch.float64)).float(),
        lambda _, y: y * torch.tensor(2.0, dtype=torch.float64),
        lambda m, y: (m.total.add_(y.sum(0)), y)[1],
        lambda _, y: y * np.float64(0.5),
        lambda _, y: y.cumsum(0, dtype=torch.float64).float(),
    ],
)
def test_choices_and_scalars_pass(function):
    """Double precision that is asked for, sums into it, scalars."""
    assert result(Layer(function), torch.randn(2, 4)).outcome == "passed"


def test_other_precisions_are_skipped():
    """A layer of double precision is no accident."""
    assert result(nn.Linear(3, 3).double(), torch.randn(2, 3).double()).outcome == "skipped"
    assert result(nn.Linear(3, 3), torch.randn(2, 3)).outcome == "passed"
    assert result(nn.LSTM(3, 3), torch.randn(2, 3)).outcome == "passed"
