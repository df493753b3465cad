"""PUR009 global-state-changed."""

import linecache
import random

import numpy as np
import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["PUR009"]).results
    assert found.outcome != "error", found.reason
    return found


class Layer(nn.Module):
    """A layer that runs a function first."""

    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.function = function

    def forward(self, x):
        self.function(self)
        return self.linear(x)


class NoGrad(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3)

    def forward(self, x):
        y = self.linear(x)
        torch.set_grad_enabled(False)
        target = y.round()
        return y + target


def own_generator(_):
    """Draw from a generator that belongs to the layer."""
    torch.randn(3, generator=torch.Generator().manual_seed(0))


def forked(_):
    """Seed inside of a fork, which puts the state back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.randn(3)


def switched(_):
    """Turn switches by context managers."""
    with torch.no_grad(), torch.autocast("cpu", enabled=True):
        torch.randn(3)


@pytest.mark.parametrize(
    ("function", "source"),
    [
        (lambda _: torch.manual_seed(0), "torch"),
        (lambda _: np.random.seed(3), "numpy"),
        (lambda _: random.seed(4), "random"),
        (lambda m: torch.manual_seed(7) if m.training else None, "torch"),
    ],
)
def test_a_generator_that_forward_seeds_is_found(function, source):
    """Torch's, numpy's or Python's, also in training mode only."""
    (found,) = result(Layer(function), torch.randn(2, 3)).findings
    assert found.severity == "error"
    assert found.where == f"forward, random generator of {source}"


def test_grad_mode_that_stays_off_is_found_with_its_line():
    """The finding shows both values."""
    (found,) = result(NoGrad(), torch.randn(2, 3)).findings
    assert found.where == "forward, grad mode"
    assert "grad mode False" in found.found
    assert "set_grad_enabled(False)" in linecache.getline(found.file, found.line)
    assert torch.is_grad_enabled()


def test_other_switches_are_found():
    """Default dtype and deterministic algorithms among them, and all are put back."""
    for function in (
        lambda _: torch.set_default_dtype(torch.float64),
        lambda _: torch.use_deterministic_algorithms(True, warn_only=True),
        lambda _: torch.set_float32_matmul_precision("medium"),
    ):
        assert result(Layer(function), torch.randn(2, 3)).outcome == "failed"
    assert torch.get_default_dtype() is torch.float32
    assert not torch.are_deterministic_algorithms_enabled()


def test_sound_layers_pass():
    """Own generators, forks, context managers, dropout."""
    for function in (own_generator, forked, switched, lambda _: torch.rand(2)):
        assert result(Layer(function), torch.randn(2, 3)).outcome == "passed"
    for layer in (nn.Dropout(), nn.RReLU(), nn.Identity(), nn.BatchNorm1d(3)):
        assert result(layer, torch.randn(2, 3)).outcome == "passed"
