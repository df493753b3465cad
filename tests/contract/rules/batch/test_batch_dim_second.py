"""BAT010: samples along dimension 1."""

import torch
from torch import nn

from layerwright.contract.case import Case
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


def result(layer, *inputs, **traits):
    return check(Case(layer, inputs, traits=traits), select=["BAT010"]).results[0]


def test_layers_that_take_the_batch_second_get_a_note():
    """Recurrence, and a softmax over dimension 0."""
    for layer, x in ((nn.LSTM(6, 4), (8, 3, 6)), (nn.Softmax(0), (5, 6))):
        judged = result(layer, torch.randn(x))
        assert [finding.severity for finding in judged.findings] == ["note"]


def test_a_declared_dimension_passes():
    """The author knows."""
    assert result(nn.LSTM(6, 4), torch.randn(8, 3, 6), batch_dim=1).outcome == "passed"


def test_layers_that_mix_nothing_along_dimension_0_pass():
    """It has a fixed size in the second, for other reasons."""
    assert result(nn.LSTM(6, 4, batch_first=True), torch.randn(8, 3, 6)).outcome == "passed"
    layer = Layer(lambda m, x: x * m.weight, weight=nn.Parameter(torch.ones(4, 1)))
    assert result(layer, torch.randn(4, 6)).outcome == "passed"
