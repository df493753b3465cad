"""MOD003: statistics that eval mode updates, and memories that are none."""

import linecache

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(6, 5, 4) + 1


def judge(layer):
    """Run the rule alone."""
    return check(layer, X, select=["MOD003"])


class Mean(nn.Module):
    def __init__(self, *, in_eval=True, used=True):
        super().__init__()
        self.in_eval, self.used = in_eval, used
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x):
        if self.training or self.in_eval:
            self.mean = torch.lerp(self.mean, x.detach().mean(dim=(0, 1)), 0.1)
        return x - self.mean if self.used else x


class Range(nn.Module):
    def __init__(self):
        super().__init__()
        self.limit = 0.5

    def forward(self, x):
        self.limit = max(self.limit, x.abs().max().item())
        return x / self.limit


class SlowRange(Range):
    def forward(self, x):
        self.limit = 0.9 * self.limit + 0.1 * x.abs().mean().item()
        return x / self.limit


class Cache(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("keys", torch.zeros(8, 40, 4))
        self.register_buffer("length", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        start = int(self.length) % 30
        self.keys[: x.shape[0], start : start + x.shape[1]] = x.detach()
        self.length += x.shape[1]
        return self.keys[: x.shape[0], : start + x.shape[1]].mean(dim=1, keepdim=True) + x


class Leaky(nn.Module):
    def __init__(self):
        super().__init__()
        self.potential = None

    def forward(self, x):
        before = torch.zeros_like(x) if self.potential is None else self.potential
        if before.shape != x.shape:
            before = torch.zeros_like(x)
        self.potential = 0.9 * before + x.detach()
        return torch.sigmoid(self.potential + x)


class Membrane(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("potential", torch.zeros(6, 5, 4))

    def forward(self, x):
        self.potential = 0.9 * self.potential + x.detach()
        return torch.sigmoid(self.potential)


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.zeros(0), persistent=False)

    def forward(self, x):
        if len(self.table) < x.shape[1]:
            self.table = torch.arange(x.shape[1], dtype=x.dtype)
        return x + self.table[: x.shape[1], None]


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x


class Position(Counter):
    def forward(self, x):
        self.calls += x.shape[1]
        return x + self.calls


@pytest.mark.parametrize(
    ("layer", "where"),
    [(Mean(), "mean"), (nn.Sequential(nn.Tanh(), Mean()), "1.mean"), (SlowRange(), "limit")],
)
def test_statistics_that_eval_updates_are_reported(layer, where):
    """Buffers and floats, with the effect on the answer."""
    (finding,) = judge(layer).findings
    assert (finding.severity, finding.where) == ("error", where)
    assert "the answer is another one" in finding.found


def test_the_line_that_writes_is_told():
    """For a write into the buffer."""

    class Writes(Mean):
        def forward(self, x):
            self.mean.lerp_(x.detach().mean(dim=(0, 1)), 0.1)  # here
            return x - self.mean

    (finding,) = judge(Writes()).findings
    assert "# here" in linecache.getline(__file__, finding.line)


@pytest.mark.parametrize(
    "layer",
    [
        Mean(in_eval=False),
        Mean(used=False),
        Cache(),
        Leaky(),
        Membrane(),
        Table(),
        Counter(),
        Position(),
        nn.InstanceNorm1d(5, track_running_stats=True),
        nn.BatchNorm1d(5),
    ],
)
def test_other_memories_pass(layer):
    """Monitors, caches, streams, tables, counters, and statistics of training."""
    assert judge(layer).counts == {"passed": 1}
