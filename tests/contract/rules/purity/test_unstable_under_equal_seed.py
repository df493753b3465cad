"""PUR011 unstable-under-equal-seed."""

import itertools
import random

import numpy as np
import torch
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["PUR011"]).results
    assert found.outcome != "error", found.reason
    return found


class Layer(nn.Module):
    """A layer that adds what a function returns."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return x + self.function(self, x)


class OwnGenerator(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(3)
        self.rng = np.random.default_rng(3)

    def forward(self, x):
        return x * torch.rand(x.shape, generator=self.generator) + float(self.rng.random())


class Uncopyable(nn.Module):
    def __init__(self):
        super().__init__()
        self.numbers = (number for number in itertools.count())

    def forward(self, x):
        return x + next(self.numbers)


class ClassCounter(nn.Module):
    calls = 0

    def forward(self, x):
        type(self).calls += 1
        return x + type(self).calls


def test_entropy_of_its_own_is_found():
    """NumPy's new generators and the system's, in the mode that they are used in."""
    fresh = Layer(lambda _, x: torch.from_numpy(np.random.default_rng().random(x.shape)).float())
    found = result(fresh, torch.randn(2, 3)).findings[0]
    assert found.severity == "error"
    assert found.where == "forward in eval mode"
    assert "6 of 6 values differ" in found.found
    system = Layer(lambda m, _: random.SystemRandom().random() if m.training else 0.0)
    assert "training" in result(system, torch.randn(2, 3)).findings[0].where


def test_sound_layers_pass():
    """Seeded draws, seeded generators of its own, state of classes that another rule judges."""
    for layer in (nn.Dropout(), nn.RReLU(), OwnGenerator(), ClassCounter(), nn.LSTM(3, 3)):
        assert result(layer, torch.randn(2, 3)).outcome == "passed", layer
    assert result(nn.Embedding(5, 3), torch.arange(4)).outcome == "passed"
    assert result(Uncopyable(), torch.randn(2, 3)).outcome == "skipped"
