"""DST001 ddp-step-fails."""

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["DST001"], tier="full").results
    assert found.outcome != "error", found.reason
    assert not dist.is_initialized()
    return found


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.extra = nn.Linear(3, 3)

    def forward(self, x):
        return self.body(x)


class Rebinds(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.weight = nn.Parameter(torch.randn(3, 3))

    def forward(self, x):
        if self.training:
            self.weight = nn.Parameter(self.weight.detach() * 0.99)
        return F.linear(self.body(x), self.weight)


class Experts(nn.Module):
    """Each sample goes to one expert: with few samples, some get none."""

    def __init__(self, num_experts=5):
        super().__init__()
        self.router = nn.Linear(3, num_experts)
        self.experts = nn.ModuleList(nn.Linear(3, 3) for _ in range(num_experts))

    def forward(self, x):
        gates = self.router(x).softmax(-1)
        chosen = gates.argmax(-1)
        out = torch.zeros_like(x)
        for number, expert in enumerate(self.experts):
            rows = (chosen == number).nonzero()[:, 0]
            if len(rows):
                out = out.index_add(0, rows, gates[rows, number, None] * expert(x[rows]))
        return out


class Optional(Unused):
    def forward(self, x, context=None):
        y = self.body(x)
        return y if context is None else y + self.extra(context)


class Frozen(Unused):
    def __init__(self):
        super().__init__()
        self.extra.requires_grad_(False)


def test_steps_that_fail_are_found():
    """Parameters that never get a gradient, and one that is replaced."""
    found = result(nn.Sequential(Unused()), torch.randn(4, 3)).findings[0]
    assert found.severity == "error"
    assert found.where == "0.extra.weight (and 1 more)"
    assert found.file == __file__
    assert "Expected to have finished reduction" in found.found
    found = result(Rebinds(), torch.randn(4, 3)).findings[0]
    assert "another Parameter" in found.found


def test_steps_that_work_pass():
    """Frozen parameters, batch statistics; experts are not blamed."""
    for layer in (Frozen(), nn.BatchNorm1d(3), nn.Linear(3, 3)):
        assert result(layer, torch.randn(4, 3)).outcome == "passed"
    assert result(Experts(), torch.randn(3, 3)).findings == ()
    assert result(Optional(), torch.randn(4, 3)).outcome == "skipped"


def test_a_process_group_of_the_callers_is_left_alone():
    """The rule is skipped, and the group is still there."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        (found,) = check(Unused(), torch.randn(4, 3), select=["DST001"], tier="full").results
        assert found.outcome == "skipped"
        assert dist.is_initialized()
    finally:
        dist.destroy_process_group()


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleDict({"one": nn.Linear(3, 2), "other": nn.Linear(3, 4)})

    def forward(self, x, task):
        return self.heads[task](x)


def test_a_word_may_choose_what_is_used():
    """The head of another task is not unused."""
    found = result(Heads(), torch.randn(4, 3), "one")
    assert found.outcome == "skipped"
    assert "task" in found.reason
