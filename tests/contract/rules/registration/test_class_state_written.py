"""REG010: calls that write what instances share."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

SEEN = []


def judged(layer, *inputs):
    """Return the result of REG010."""
    (result,) = check(layer, *inputs, select=["REG010"]).results
    return result


class Counter(nn.Module):
    calls = 0

    def forward(self, x):
        type(self).calls += 1
        return x + 1.0


class Memory(nn.Module):
    bank = {}  # noqa: RUF012 - the fault

    def forward(self, x):
        return x - self.bank.setdefault("mean", x.detach().mean())


class DefaultArgument(nn.Module):
    def forward(self, x, history=[]):  # noqa: B006 - the fault
        history.append(x.shape)
        return x * 1.0


class GlobalList(nn.Module):
    def forward(self, x):
        SEEN.append(float(x.sum()))
        return x * 1.0


@pytest.mark.parametrize(
    ("layer", "where"),
    [
        (Counter(), "Counter.calls"),
        (DefaultArgument(), "default argument 0 of DefaultArgument.forward"),
        (GlobalList(), "global variable SEEN"),
    ],
)
def test_what_each_call_changes_is_a_warning(layer, where):
    """The value is named and put back."""
    (finding,) = judged(layer, torch.randn(4, 3)).findings
    assert (finding.severity, finding.where) == ("warning", where)
    assert Counter.calls == 0
    assert SEEN == []


@pytest.mark.parametrize("layer", [Memory(), nn.Sequential(nn.Linear(3, 3), Memory())])
def test_a_memory_that_changes_answers_is_an_error(layer):
    """Another instance answers from what the first one has seen."""
    (finding,) = judged(layer, torch.randn(4, 3)).findings
    assert (finding.severity, finding.where) == ("error", "Memory.bank")
    assert "values differ" in finding.found


class TableCache(nn.Module):
    tables = {}  # noqa: RUF012 - a cache

    def forward(self, x):
        if x.shape[-1] not in self.tables:
            self.tables[x.shape[-1]] = torch.arange(x.shape[-1])
        return x + self.tables[x.shape[-1]]


class OnInstance(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * 1.0


@pytest.mark.parametrize("layer", [TableCache(), OnInstance(), nn.BatchNorm1d(3)])
def test_sound_layers_pass(layer):
    """A cache that is filled once, and state of the instance."""
    assert judged(layer, torch.randn(4, 3)).outcome == "passed"
