"""SER006: loading that does not work on meta, and loading that does."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(4, 3)


def judge(layer):
    """Run the rule alone."""
    return check(layer, X, select=["SER006"])


class Copies(nn.Linear):
    def __init__(self):
        super().__init__(3, 3)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        self.weight.data.copy_(state_dict[prefix + "weight"])
        self.bias.data.copy_(state_dict[prefix + "bias"])


class Halves(nn.Linear):
    def __init__(self):
        super().__init__(3, 3)

    def load_state_dict(self, state_dict, strict=True, assign=False):
        if assign:
            state_dict = {name: value / 2 for name, value in state_dict.items()}
        return super().load_state_dict(state_dict, strict=strict, assign=assign)


class Renames(nn.Linear):
    def __init__(self):
        super().__init__(3, 3)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        if prefix + "kernel" in state_dict:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "kernel")
        super()._load_from_state_dict(state_dict, prefix, *args)


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.arange(3.0), persistent=False)

    def forward(self, x):
        return x + self.table


@pytest.mark.parametrize("build", [Copies, lambda: nn.Sequential(Copies(), nn.ReLU())])
def test_copying_into_meta_is_reported(build):
    """The first parameter that stayed empty is named; it is a warning."""
    (finding,) = judge(build).findings
    assert finding.severity == "warning"
    assert finding.where.endswith("weight")
    assert "meta" in finding.found


def test_another_answer_is_reported():
    """What was assigned is not what was saved."""
    (finding,) = judge(Halves).findings
    assert "12 of 12 values differ" in finding.found


@pytest.mark.parametrize("build", [Renames, nn.ReLU, lambda: nn.BatchNorm1d(3)])
def test_loading_by_torch_passes(build):
    """Renaming old entries is fine."""
    assert judge(build).counts == {"passed": 1}


def test_buffers_that_are_not_saved_are_not_judged():
    """Who builds on meta computes them again."""
    assert judge(Table).counts == {"skipped": 1}
