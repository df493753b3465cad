"""PUR007 direct-forward-call."""

import linecache
import warnings

import torch
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["PUR007"]).results
    assert found.outcome != "error", found.reason
    return found


class Loop(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))

    def forward(self, x):
        x = self.blocks[0](x)
        for block in self.blocks:
            x = block.forward(x)
        return x


class OnlyInTraining(nn.Module):
    def __init__(self):
        super().__init__()
        self.drop = nn.Dropout()

    def forward(self, x):
        return self.drop.forward(x) if self.training else x


class Inherits(nn.Linear):
    def forward(self, x):
        return super().forward(x) + self.bias


class CallsItself(nn.Module):
    def __init__(self, depth=0):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.depth = depth

    def forward(self, x, left=2):
        return self.linear(x) if left == 0 else self.forward(x, left - 1)


class UsesWeightOnly(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = Inherits(3, 3)
        self.recursive = CallsItself()
        self.out = nn.Linear(3, 3)
        self.out.weight = self.inner.weight

    def forward(self, x):
        return self.recursive(self.inner(x)) @ self.out.weight.t()


def test_direct_calls_are_counted_by_part():
    """The call with hooks is not among them."""
    found = result(Loop(), torch.randn(2, 3)).findings
    assert [item.where for item in found] == ["blocks.0", "blocks.1"]
    assert {item.severity for item in found} == {"warning"}
    assert "1 call of blocks.0.forward" in found[0].found
    assert "block.forward(x)" in linecache.getline(found[0].file, found[0].line)


def test_a_direct_call_in_training_only_is_found():
    """Both modes are run."""
    assert result(OnlyInTraining(), torch.randn(2, 3)).outcome == "failed"


def test_sound_layers_pass():
    """super().forward, a part that calls its own forward, a weight that is only read."""
    x = torch.randn(2, 3)
    assert result(UsesWeightOnly(), x).outcome == "passed"
    shared = nn.Linear(3, 3)
    assert result(nn.Sequential(shared, nn.ReLU(), shared), x).outcome == "passed"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(nn.ReLU())
    assert result(nn.Sequential(nn.Identity(), scripted), x).outcome == "passed"
    compiled = torch.compile(nn.Sequential(nn.Linear(3, 3)), backend="eager")
    assert result(nn.Sequential(nn.Identity(), compiled), x).outcome == "passed"


def test_torch_layers_pass():
    """Attention and transformers among them."""
    layer = nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2), 2, enable_nested_tensor=False)
    assert result(layer, torch.randn(3, 2, 4)).outcome == "passed"
    assert result(nn.MultiheadAttention(4, 2), *[torch.randn(3, 2, 4)] * 3).outcome == "passed"
