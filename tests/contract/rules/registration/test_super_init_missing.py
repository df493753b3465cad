"""REG006: constructors that forget nn.Module's."""

import pytest
import torch
from torch import nn

from layerwright.contract.building import subject_of
from layerwright.contract.case import Case
from layerwright.contract.check import check
from layerwright.contract.probe import Probe
from layerwright.contract.rules.registration.super_init_missing import super_init_missing


def judged(layer, *inputs):
    """Return the result of REG006."""
    (result,) = check(layer, *inputs, select=["REG006"]).results
    return result


class Forgets(nn.Module):
    def __init__(self):
        self.proj = nn.Linear(3, 3)

    def forward(self, x):
        return self.proj(x)


class ForgetsQuietly(nn.Module):
    def __init__(self):
        self.slope = 0.1

    def forward(self, x):
        return torch.where(x > 0, x, self.slope * x)


class Late(nn.Module):
    def __init__(self):
        self.scale = nn.Parameter(torch.ones(3))
        super().__init__()

    def forward(self, x):
        return x * self.scale


class BuildsLater(nn.Module):
    def forward(self, x):
        return Forgets()(x)


class InList(nn.Module):
    def __init__(self):
        super().__init__()
        self.acts = [ForgetsQuietly()]

    def forward(self, x):
        return self.acts[0](x)


@pytest.mark.parametrize(
    ("layer", "name"),
    [(Forgets, "Forgets"), (Late, "Late"), (lambda: nn.Sequential(Forgets()), "Forgets")],
)
def test_a_constructor_that_raises_is_explained(layer, name):
    """By the class that lacks the line."""
    (finding,) = judged(layer, torch.randn(4, 3)).findings
    assert (finding.severity, finding.where) == ("error", "the constructor")
    assert finding.found.startswith(name)
    assert finding.file.endswith("test_super_init_missing.py")


@pytest.mark.parametrize(("layer", "where"), [(BuildsLater(), "forward"), (InList(), "acts[0]")])
def test_a_part_that_is_not_prepared_is_found(layer, where):
    """In forward, and outside the registered parts."""
    (finding,) = found_in(layer)
    assert finding.where == where


def found_in(layer):
    """Return what the rule finds in a layer that was built."""
    subject = subject_of(Case(layer, torch.randn(4, 3)), 0, lambda cls: {})
    return tuple(super_init_missing(Probe(subject)))


class OtherError(nn.Module):
    def forward(self, x):
        return self.missing(x)


class Dataclass(nn.Module):
    def __new__(cls):
        layer = super().__new__(cls)
        nn.Module.__init__(layer)
        return layer

    def __init__(self):
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, x):
        return x * self.scale


@pytest.mark.parametrize("layer", [OtherError(), Dataclass(), nn.Linear(3, 3)])
def test_other_layers_pass(layer):
    """Another AttributeError is not ours, and __init__ may have run in another way."""
    assert found_in(layer) == ()


class RaisesItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.size = self.missing


def test_another_error_of_a_constructor_passes():
    """It is not about tables that are missing."""
    assert judged(RaisesItself, torch.randn(4, 3)).outcome == "passed"
