"""DST003 ranks-run-different."""

import os
import time

import pytest
import torch
import torch.distributed as dist
from torch import nn

from layerwright.contract.case import Case
from layerwright.contract.check import check
from layerwright.contract.evidence import rank_processes
from layerwright.errors import OptionError

X = torch.tensor([[3.0, -1.0, -1.0], [2.0, -1.0, -1.0]])


def result(layer, *inputs, ranks=2, **options):
    """Return what the rule comes to, and see that no process is left behind."""
    (found,) = check(layer, *inputs, select=["DST003"], ranks=ranks, **options).results
    assert found.outcome != "error", found.reason
    assert not dist.is_initialized()
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    return found


class Reducing(nn.Module):
    """Subtracts the mean of all processes, if `wanted` says so."""

    def __init__(self, wanted=lambda _x: True, rows=lambda x: x):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.wanted, self.rows = wanted, rows

    def forward(self, x):
        mean = self.rows(x.detach()).mean(0)
        if dist.is_initialized() and self.wanted(x):
            dist.all_reduce(mean)
            mean = mean.mean(0) / dist.get_world_size()
        return self.linear(x - mean)


class Skipping(nn.Module):
    """Leaves a branch out, as stochastic depth does: the parameters, or only their effect."""

    def __init__(self, leave_out):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.leave_out = leave_out

    def forward(self, x):
        y = self.first(x)
        keep = (torch.rand(()) < 0.5).float()
        if self.training and self.leave_out and not keep:
            return y
        return y + (keep if self.training else 1) * self.second(y)


def starts_positive(x):
    """Holds for `X`, and not for the other rank's inputs."""
    return bool((x[:, 0] > 0).all())


@pytest.mark.parametrize("ranks", [2, 3])
def test_a_collective_behind_a_branch_is_an_error(ranks):
    """The rank that waits is named, and so is one that calls nothing."""
    found = result(Reducing(starts_positive), X, ranks=ranks)
    (finding,) = found.findings
    assert finding.severity is None or finding.severity == "error"
    assert "rank 0 waited" in finding.found
    assert "dist.all_reduce(mean)" in finding.found
    assert "rank 1 called no other collective" in finding.found
    assert finding.file == __file__


def test_collectives_of_different_shapes_are_an_error():
    """What is reduced is as long as the data wants it."""

    def rows(x):
        return x.unsqueeze(1) if starts_positive(x) else x.unsqueeze(1).repeat(1, 4, 1)

    (finding,) = result(Reducing(rows=rows), X).findings
    assert "all_reduce" in finding.found or "allreduce" in finding.found


def test_collectives_that_all_call_are_fine():
    """Whatever the data is."""
    assert result(Reducing(), X).outcome == "passed"


def test_a_branch_that_one_rank_skips_is_a_warning():
    """DistributedDataParallel was tried, and its words are there."""
    (finding,) = result(Skipping(leave_out=True), X).findings
    assert finding.severity == "warning"
    assert finding.where == "second.weight (and 1 more)"
    assert "DistributedDataParallel raised" in finding.found


def test_parameters_that_may_go_unused_are_no_finding():
    """A trait says so."""
    case = Case(Skipping(leave_out=True), (X,), traits={"unused_parameters": ("second.*",)})
    assert result(case).outcome == "passed"


@pytest.mark.parametrize(
    "layer",
    [
        Skipping(leave_out=False),
        nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout()),
        nn.TransformerEncoderLayer(3, 1, 6, batch_first=True),
    ],
    ids=["a branch times zero", "batch norm and dropout", "an encoder layer"],
)
def test_sound_layers_pass(layer):
    """Data and random numbers differ, and what must be equal is equal."""
    assert result(layer, torch.randn(4, 3)).outcome == "passed"


def test_without_ranks_the_rule_is_skipped():
    """And says how to run it; other checks do not list it."""
    found = result(nn.Linear(3, 3), X, ranks=0)
    assert (found.outcome, found.reason) == (
        "skipped",
        "no processes were asked for, as --ranks 2 does",
    )
    listed = {item.rule_id for item in check(nn.Linear(3, 3), X, tier="full").results}
    assert not {"DST003", "DST004"} & listed
    assert {"DST003", "DST004"} <= {
        item.rule_id for item in check(nn.Linear(3, 3), X, ranks=2).results
    }


@pytest.mark.parametrize("ranks", [1, -2, 17])
def test_impossible_numbers_of_ranks_are_refused(ranks):
    """With what is possible."""
    with pytest.raises(OptionError, match="ranks expected 2 to 16"):
        check(nn.Linear(3, 3), X, ranks=ranks)


class Dying(nn.Module):
    """Ends its process, or stands still, in a group of two."""

    def __init__(self, end):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.end = end

    def forward(self, x):
        if dist.is_initialized() and dist.get_world_size() > 1:
            self.end()
        return self.linear(x)


def test_a_rank_that_dies_or_hangs_is_reported(monkeypatch):
    """And its process is gone."""
    assert "its process died" in result(Dying(lambda: os._exit(3)), X).findings[0].found
    monkeypatch.setattr(rank_processes, "_LIMIT_S", 4.0)
    assert "did not come to an end" in result(Dying(lambda: time.sleep(60)), X).findings[0].found
