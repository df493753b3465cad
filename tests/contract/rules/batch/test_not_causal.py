"""BAT005: later positions."""

import pytest
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


def result(layer, *inputs, causal):
    case = Case(layer, inputs, traits={"causal": causal})
    return check(case, select=["BAT005"]).results[0]


def attention(diagonal):
    def run(layer, x):
        hidden = torch.ones(x.shape[1], x.shape[1]).triu(diagonal).bool()
        scores = (layer.query(x) @ x.transpose(1, 2)).masked_fill(hidden, -torch.inf)
        return torch.softmax(scores, -1) @ x

    return Layer(run, query=nn.Linear(6, 6))


@pytest.mark.parametrize("causal", [True, False])
def test_a_mask_that_is_off_by_one_is_reported(causal):
    """With and without the promise."""
    judged = result(attention(2), torch.randn(3, 8, 6), causal=causal)
    assert judged.findings[0].severity == "error"


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.Conv1d(4, 4, 3, padding=1), (2, 4, 9)),
        (nn.LSTM(4, 3, bidirectional=True, batch_first=True), (2, 9, 4)),
        (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), (2, 9, 4)),
    ],
)
def test_a_broken_promise_is_reported(layer, x):
    """Without the promise the same layer is sound."""
    judged = result(layer, torch.randn(x), causal=True)
    assert judged.findings[0].severity == "error"
    assert "output 0 changes with input 1" in judged.findings[0].found
    assert result(layer, torch.randn(x), causal=False).outcome == "passed"


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (attention(1), (3, 8, 6)),
        (nn.LSTM(6, 4, batch_first=True), (3, 8, 6)),
        (nn.LSTM(6, 4), (8, 3, 6)),
        (Layer(lambda _, x: x.cumsum(1)), (3, 8, 6)),
        (
            Layer(lambda m, x: m.conv(nn.functional.pad(x, (2, 0))), conv=nn.Conv1d(6, 4, 3)),
            (3, 6, 8),
        ),
    ],
)
def test_causal_layers_pass(layer, x, causal):
    """Whatever the layout."""
    assert result(layer, torch.randn(x), causal=causal).outcome == "passed"
