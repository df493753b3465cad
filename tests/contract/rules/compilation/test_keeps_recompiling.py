"""CMP005 keeps-recompiling."""

import torch
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["CMP005"], tier="full").results
    assert found.outcome != "error", found.reason
    return found


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.calls = 0

    def forward(self, x):
        if self.training:
            self.calls += 1
        return self.linear(x)


class Loop(Counter):
    def forward(self, x):
        return torch.cat([self.linear(x[i : i + 1]) for i in range(x.shape[0])])


class Cache(Counter):
    """A table that is made at the first call, and anew for another length."""

    def forward(self, x):
        if self.calls != x.shape[-1]:
            self.calls = x.shape[-1]
        return self.linear(x)


def test_recompilations_are_found():
    """For a number that counts up, with the condition; for a loop over samples."""
    found = result(nn.Sequential(Counter()), torch.randn(4, 3)).findings[0]
    assert found.severity == "warning"
    assert found.found.startswith("5 compilations in 5 equal calls")
    assert ".calls == 4" in found.found
    assert found.file == __file__
    found = result(Loop(), torch.randn(4, 3)).findings[0]
    assert found.found.startswith("5 compilations for 5 sizes of the batch")
    assert found.file == __file__


def test_few_compilations_pass():
    """A cache, and torch's layers."""
    for layer in (Cache(), nn.Linear(3, 3), nn.BatchNorm1d(3)):
        assert result(layer, torch.randn(4, 3)).outcome == "passed"
