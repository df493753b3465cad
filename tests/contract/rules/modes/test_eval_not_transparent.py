"""MOD002: evaluations that leave something behind, and those that clean up."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerwright.contract.check import check

X = torch.randn(6, 4)


def judge(layer):
    """Run the rule alone."""
    return check(layer, X, select=["MOD002"])


class Base(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.5)


class TurnsOff(Base):
    def forward(self, x):
        if not self.training:
            self.dropout = nn.Identity()
        return self.dropout(self.linear(x))


class Freezes(Base):
    def forward(self, x):
        self.linear.requires_grad_(self.training and self.linear.weight.requires_grad)
        return self.linear(x)


class Samples(Base):
    def forward(self, x):
        if self.training:
            return self.dropout(self.linear(x))
        self.dropout.train()
        return torch.stack([self.dropout(self.linear(x)) for _ in range(4)]).mean(dim=0)


class Merges(Base):
    def __init__(self):
        super().__init__()
        self.more = nn.Linear(4, 4, bias=False)
        self.merged = False

    def train(self, mode=True):
        if mode and self.merged:
            self.linear.weight.data -= self.more.weight.data
        elif not mode and not self.merged:
            self.linear.weight.data += self.more.weight.data
        self.merged = not mode
        return super().train(mode)

    def forward(self, x):
        return self.linear(x) if self.merged else self.linear(x) + self.more(x)


class Stream(Base):
    def __init__(self):
        super().__init__()
        self.hidden = torch.zeros(4)

    def forward(self, x):
        self.hidden = 0.5 * self.hidden + x.mean(dim=0).detach()
        return self.linear(x + self.hidden)


class MomentumEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.query = nn.Linear(4, 3)
        self.key = copy.deepcopy(self.query).requires_grad_(False)

    def forward(self, x):
        if self.training:
            with torch.no_grad():
                for ours, theirs in zip(
                    self.key.parameters(), self.query.parameters(), strict=True
                ):
                    ours.lerp_(theirs, 0.1)
        return F.normalize(self.query(x), dim=-1) * F.normalize(self.key(x), dim=-1)


@pytest.mark.parametrize("build", [TurnsOff, lambda: nn.Sequential(nn.ReLU(), TurnsOff())])
def test_dropout_that_stays_off_is_reported(build):
    """Training answers differ after one evaluation, which the numbers show."""
    (finding,) = judge(build()).findings
    assert finding.severity == "error"
    assert "of 24 values differ" in finding.found


def test_parameters_that_stay_frozen_are_named():
    """Although the answers are the same."""
    (finding,) = judge(Freezes()).findings
    assert "requires_grad of linear.weight" in finding.found


def test_a_part_that_forward_leaves_in_training_is_reported():
    """After the call in eval mode it is still switched."""
    (finding,) = judge(Samples()).findings
    assert finding.where == "dropout"


@pytest.mark.parametrize(
    "layer",
    [Merges(), Merges().eval(), MomentumEncoder(), nn.BatchNorm1d(4), nn.Dropout(0.3), nn.RReLU()],
)
def test_evaluations_without_traces_pass(layer):
    """What train(False) merges, train(True) takes apart again."""
    assert judge(layer).counts == {"passed": 1}


def test_a_stream_is_not_judged():
    """What it remembers is meant."""
    assert judge(Stream()).counts == {"skipped": 1}


class Merging(nn.Module):
    """Adds a low-rank part to its weight in eval mode."""

    def __init__(self, guarded):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3))
        self.low, self.rank = nn.Parameter(torch.randn(3, 1)), nn.Parameter(torch.randn(1, 3))
        self.guarded, self.merged = guarded, False

    def train(self, mode=True):
        super().train(mode)
        if not mode and not (self.guarded and self.merged):
            self.weight.data += self.low.data @ self.rank.data
            self.merged = True
        return self

    def forward(self, x):
        return x @ (self.weight if self.merged else self.weight + self.low @ self.rank)


def test_a_second_evaluation_changes_nothing_either():
    """Weights that eval() merges are merged once."""
    x = torch.randn(4, 3)
    assert check(Merging(guarded=False).train(), x, select=["MOD002"]).findings
    assert not check(Merging(guarded=True).train(), x, select=["MOD002"]).findings
