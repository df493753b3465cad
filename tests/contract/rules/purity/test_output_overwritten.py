"""PUR002 output-overwritten."""

import torch
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["PUR002"]).results
    assert found.outcome != "error", found.reason
    return found


class Workspace(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))
        self.scratch = torch.empty(0)

    def forward(self, x):
        if self.scratch.shape != x.shape:
            self.scratch = torch.empty_like(x)
        self.scratch.copy_(x @ self.weight.detach())
        return self.scratch


class Padded(Workspace):
    def forward(self, x):
        if self.scratch.numel() == 0:
            self.scratch = torch.zeros(x.shape[0], 5)
        self.scratch[:, 1:4] = x
        return self.scratch


class RunningMean(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        if self.training:
            self.mean.mul_(0.9).add_(x.detach().mean(0), alpha=0.1)
        return x - self.mean, self.copied()

    def copied(self):
        return self.mean


class CopiedMean(RunningMean):
    def copied(self):
        return self.mean.clone()


class KeyCache(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("keys", torch.zeros(4, 8, 3))

    def forward(self, x):
        self.keys[: x.shape[0], : x.shape[1]] = x
        return self.keys


class Remembers(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.last = None

    def forward(self, x):
        self.last = self.linear(x)
        return self.last


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 3))

    def forward(self, x):
        return self.table[: x.shape[0]]


def test_a_workspace_that_is_returned_is_found():
    """Whether it is filled as a whole or in its middle."""
    found = result(Workspace(), torch.randn(4, 3)).findings[0]
    assert found.severity == "error"
    assert "12 of 12 values differ" in found.found
    assert result(Padded(), torch.randn(4, 3)).outcome == "failed"
    assert result(Workspace(), torch.ones(4, 3)).outcome == "failed"


def test_a_buffer_that_training_overwrites_is_found():
    """The finding names output and buffer; a copy passes."""
    found = result(RunningMean(), torch.randn(4, 3) + 2.0).findings[0]
    assert found.where == "forward, output [1]"
    assert "memory of mean" in found.found
    assert "training mode" in found.found
    assert result(CopiedMean(), torch.randn(4, 3) + 2.0).outcome == "passed"


def test_sound_layers_pass():
    """A cache that is handed out is skipped; what is replaced, not written, passes."""
    assert result(KeyCache(), torch.randn(2, 3, 3)).outcome == "skipped"
    for layer in (Remembers(), Table(), nn.Identity(), nn.LSTM(3, 3), nn.ReLU(inplace=True)):
        assert result(layer, torch.randn(4, 3)).outcome == "passed", layer
    assert result(nn.BatchNorm1d(3), torch.randn(4, 3)).outcome == "passed"
