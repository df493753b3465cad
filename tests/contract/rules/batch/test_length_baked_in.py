"""BAT004: another length in a second call."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class Layer(nn.Module):
    """A layer with these parts, whose forward is `run(self, *inputs)`."""

    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs):
        return self.run(self, *inputs)


def result(layer, *inputs):
    return check(layer, *inputs, select=["BAT004"]).results[0]


class Kept(nn.Module):
    """Computes something for its first length only."""

    def __init__(self, make):
        super().__init__()
        self.make = make
        self.kept = None

    def forward(self, x):
        if self.kept is None:
            self.kept = self.make(x.shape[1])
        return x * self.kept[: x.shape[1], None]


class Grown(Kept):
    """Computes it again when it is too short."""

    def forward(self, x):
        if self.kept is None or len(self.kept) < x.shape[1]:
            self.kept = self.make(x.shape[1])
        return x * self.kept[: x.shape[1], None]


class Started(nn.Module):
    """Sets its offset by the first values, as activation normalisation does."""

    def __init__(self):
        super().__init__()
        self.offset = nn.Parameter(torch.zeros(6))
        self.started = False

    def forward(self, x):
        if not self.started:
            self.offset.data.copy_(-x.flatten(0, -2).mean(0))
            self.started = True
        return x + self.offset


def test_a_longer_input_that_raises_is_reported():
    """The table of the first call is too short."""
    judged = result(Kept(lambda length: torch.arange(length).cos()), torch.randn(3, 5, 6))
    assert judged.findings[0].severity == "error"
    assert "dimension 1" in judged.findings[0].where
    assert "raised" in judged.findings[0].found


def test_a_silently_wrong_length_is_reported():
    """The kept weights belong to another length."""
    judged = result(Kept(lambda length: torch.arange(64) / length), torch.randn(3, 5, 6))
    assert "values differ" in judged.findings[0].found


@pytest.mark.parametrize(
    "layer",
    [
        Grown(lambda length: torch.arange(length).cos()),
        Started(),
        Layer(lambda m, x: x + m.table, table=nn.Parameter(torch.randn(5, 6))),
        nn.LSTM(6, 4, batch_first=True),
        nn.LazyLinear(3),
    ],
)
def test_sound_layers_are_not_reported(layer):
    """A cache that grows, a start by data, a fixed length that raises at once."""
    assert result(layer, torch.randn(3, 5, 6)).outcome in {"passed", "skipped"}
