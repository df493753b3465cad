"""BAT009: no sample at all."""

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
    return check(layer, *inputs, select=["BAT009"], tier="full").results[0]


def test_a_layer_that_raises_for_nothing_gets_a_note():
    """A reshape cannot guess a size from nothing."""
    judged = result(Layer(lambda _, x: x.reshape(len(x), -1)), torch.randn(4, 3, 2))
    assert judged.findings[0].severity == "note"
    assert judged.findings[0].file == __file__


def test_an_index_of_the_first_sample_gets_a_note():
    """There is none."""
    layer = Layer(lambda _, x: torch.stack([row * 2 for row in x]))
    assert result(layer, torch.randn(4, 3)).findings[0].severity == "note"


def test_sound_layers_pass():
    """Convolutions and flatten take an empty batch."""
    layer = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))
    assert result(layer, torch.randn(2, 3, 5, 5)).outcome == "passed"
