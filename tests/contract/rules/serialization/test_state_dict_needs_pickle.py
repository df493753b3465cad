"""SER007: states that torch.load refuses, and states that it takes."""

import datetime as dt

import numpy as np
import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(4, 3)


class Extra(nn.Module):
    def __init__(self, extra):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.extra = extra

    def get_extra_state(self):
        return self.extra

    def set_extra_state(self, state):
        self.extra = state

    def forward(self, x):
        return self.linear(x)


def judge(layer):
    """Run the rule alone."""
    return check(layer, X, select=["SER007"])


@pytest.mark.parametrize("extra", [np.arange(3), dt.timedelta(1), Extra])
def test_an_object_in_the_state_is_named(extra):
    """Its key, its class and torch's words."""
    (finding,) = judge(nn.Sequential(Extra(extra))).findings
    assert (finding.severity, finding.where) == ("error", "0._extra_state")
    assert type(extra).__qualname__ in finding.found


def test_an_array_among_the_tensors_is_named():
    """Saving is overridden without get_extra_state."""

    class Saves(nn.Linear):
        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[prefix + "seen"] = np.float64(3.0) * np.ones(2)

    (finding,) = judge(Saves(3, 3)).findings
    assert finding.where == "seen"


@pytest.mark.parametrize(
    "layer",
    [
        Extra({"rate": 0.1, "names": ["a"], "table": torch.ones(2)}),
        Extra(None),
        nn.BatchNorm1d(3),
        nn.LazyLinear(3),
        nn.Identity(),
    ],
)
def test_plain_states_pass(layer):
    """Tensors, numbers, text and containers of them."""
    assert judge(layer).counts == {"passed": 1}
