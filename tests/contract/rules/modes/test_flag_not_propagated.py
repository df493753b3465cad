"""MOD001: eval() and train() that do not do their work, and freezing that is meant."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(6, 3)


def judge(layer):
    """Run the rule alone."""
    return check(layer, X, select=["MOD001"])


class Block(nn.Module):
    def __init__(self, part=None):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.part = nn.Dropout(0.5) if part is None else part

    def forward(self, x):
        return self.part(self.linear(x))


class KeepsToItself(Block):
    def train(self, mode=True):
        self.training = mode
        return self


class ReturnsNothing(Block):
    def eval(self):
        super().eval()


class TrainsOnData(Block):
    def train(self, loader, epochs):
        for _ in range(epochs):
            for x in loader:
                self(x)


class Frozen(Block):
    def train(self, mode=True):
        super().train(mode)
        self.part.eval()
        return self


@pytest.mark.parametrize("part", [nn.Dropout(0.5), nn.BatchNorm1d(3)])
def test_a_part_that_stays_in_training_is_an_error(part):
    """Because its answers or its buffers are others."""
    (finding,) = judge(nn.Sequential(KeepsToItself(part))).findings
    assert (finding.severity, finding.where) == ("error", "0.linear")
    assert "2 of 4 modules" in finding.found
    assert finding.file == __file__


def test_a_part_that_stays_in_training_without_effect_is_a_warning():
    """Nothing in it looks at the flag."""
    (finding,) = judge(KeepsToItself(nn.ReLU())).findings
    assert finding.severity == "warning"


def test_a_switch_that_returns_nothing_is_reported():
    """Model = Model().eval() would be None."""
    (finding,) = judge(ReturnsNothing()).findings
    assert (finding.where, finding.found) == ("eval()", "it returned None")


def test_a_method_train_of_another_meaning_is_reported():
    """nn.Module.eval calls train(False)."""
    (finding,) = judge(TrainsOnData()).findings
    assert "TypeError" in finding.found


@pytest.mark.parametrize(
    "layer",
    [Block(), Frozen(nn.BatchNorm1d(3)), nn.Sequential(Frozen()), nn.LazyLinear(2), nn.ReLU()],
)
def test_layers_that_switch_pass(layer):
    """A part that train() holds in eval mode is frozen on purpose."""
    assert judge(layer).counts == {"passed": 1}
