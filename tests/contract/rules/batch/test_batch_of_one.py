"""BAT002: one sample, called alone."""

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
    return check(layer, *inputs, select=["BAT002"]).results[0]


@pytest.mark.parametrize(
    ("layer", "x", "words"),
    [
        (Layer(lambda m, x: m.linear(x).squeeze(), linear=nn.Linear(6, 1)), (5, 6), "()"),
        (
            Layer(
                lambda m, x: m.head(m.conv(x).squeeze()),
                conv=nn.Conv1d(3, 8, 6),
                head=nn.Linear(8, 2),
            ),
            (5, 3, 6),
            "shape (2,) instead of (1, 2)",
        ),
        (Layer(lambda _, x: x * (2.0 if len(x) == 1 else 1.0)), (4, 6), "values differ"),
    ],
)
def test_a_sample_alone_that_gets_another_answer_is_reported(layer, x, words):
    """A dropped dimension, or a branch by the batch size."""
    judged = result(layer, torch.randn(x))
    assert judged.findings[0].severity == "error"
    assert words in judged.findings[0].found


def test_a_layer_that_raises_for_one_sample_is_reported():
    """With the line that raised."""
    judged = result(Layer(lambda _, x: torch.cat([x.squeeze(), x.squeeze()], 1)), torch.randn(3, 4))
    assert "raised" in judged.findings[0].found
    assert judged.findings[0].file == __file__


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.BatchNorm1d(6), (4, 6)),
        (nn.Linear(6, 1), (1, 6)),
        (nn.LSTM(6, 4), (5, 3, 6)),
        (nn.LSTM(6, 4, batch_first=True), (5, 3, 6)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), (2, 3, 8, 8)),
    ],
)
def test_sound_layers_pass(layer, x):
    """Whichever dimension their samples lie along."""
    assert result(layer, torch.randn(x)).outcome == "passed"
