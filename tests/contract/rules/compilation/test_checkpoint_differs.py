"""CMP008 checkpoint-differs."""

import random

import numpy as np
import torch
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["CMP008"]).results
    assert found.outcome != "error", found.reason
    return found


class NumpyMask(nn.Module):
    def forward(self, x):
        return x * torch.from_numpy(np.random.rand(*x.shape)).to(x)


class OwnGenerator(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = torch.Generator().manual_seed(3)

    def forward(self, x):
        return x * torch.rand(x.shape, generator=self.generator) if self.training else x


class LeftOut(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 3)

    def forward(self, x):
        return x if self.training and random.random() < 0.5 else x + self.body(x).relu()


class PythonScale(nn.Module):
    """Draws a number, which the graph keeps: nothing is computed again from it."""

    def forward(self, x):
        return x * random.random() if self.training else x


class MovingCodes(nn.Module):
    """Its buffer moves twice under checkpoint, as every running average does."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        if self.training:
            self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(0)
        return (x - self.mean).square()


def test_numbers_that_are_drawn_anew_are_found():
    """From numpy, from an own generator, from Python's random."""
    found = result(nn.Sequential(nn.Linear(3, 3), NumpyMask()), torch.randn(4, 3)).findings[0]
    assert found.severity == "warning"
    assert "numpy.random" in found.found
    assert "self.generator" in result(OwnGenerator(), torch.randn(4, 3)).findings[0].found
    found = result(LeftOut(), torch.randn(4, 3)).findings[0]
    assert "backward raised" in found.found


def test_equal_gradients_pass():
    """Torch's random state is put back; running averages are not judged."""
    for layer in (nn.Dropout(), PythonScale(), MovingCodes(), nn.BatchNorm1d(3)):
        assert result(layer, torch.randn(4, 3)).outcome == "passed"
