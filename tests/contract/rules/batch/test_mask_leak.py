"""BAT006: what a mask lets through."""

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


VALID = torch.arange(5) < torch.tensor([[5], [3], [2]])


def result(layer, *inputs):
    return check(layer, *inputs, select=["BAT006"]).results[0]


def attention(fill, dim=1, *, after=False):
    def run(layer, x, valid):
        hidden = ~valid.bool().unsqueeze(dim)
        scores = layer.query(x) @ x.transpose(1, 2)
        if after:
            return torch.softmax(scores, -1).masked_fill(hidden, 0.0) @ x
        return torch.softmax(scores.masked_fill(hidden, fill), -1) @ x

    return Layer(run, query=nn.Linear(6, 6))


@pytest.mark.parametrize("mask", [VALID, VALID.long(), VALID.float()])
@pytest.mark.parametrize(
    "layer",
    [attention(1e-9), attention(0.0), attention(-1e9, dim=2), attention(0.0, after=True)],
    ids=["almost zero", "zero", "queries", "after the softmax"],
)
def test_padding_that_influences_other_positions_is_reported(layer, mask):
    """Whatever the type of the mask."""
    judged = result(layer, torch.randn(3, 5, 6), mask)
    assert judged.findings[0].severity == "error"
    assert judged.findings[0].file == __file__


def replaced(layer, x, seen):
    x = torch.where(seen.unsqueeze(-1), x, layer.token)
    return torch.softmax(x @ x.transpose(1, 2), -1) @ x


def flagged(layer, x, flags):
    x = x + layer.kinds(flags.long())
    return torch.softmax(x @ x.transpose(1, 2), -1) @ x


SOUND = {
    "minus infinity": attention(-torch.inf),
    "large": attention(-1e9),
    "fused": Layer(
        lambda _, x, valid: nn.functional.scaled_dot_product_attention(x, x, x, valid[:, None])
    ),
    "mask tokens": Layer(replaced, token=nn.Parameter(torch.randn(6))),
    "kinds of tokens": Layer(flagged, kinds=nn.Embedding(2, 6)),
    "output masked": Layer(
        lambda m, x, valid: m.lstm(x)[0] * valid.unsqueeze(-1),
        lstm=nn.LSTM(6, 4, batch_first=True, bidirectional=True),
    ),
    "convolution": Layer(
        lambda m, x, valid: m.conv(x.transpose(1, 2)) * valid.unsqueeze(1),
        conv=nn.Conv1d(6, 4, 3, padding=1),
    ),
    "loss": Layer(lambda _, x, valid: (x.square().mean(2) * valid).sum() / valid.sum()),
}


@pytest.mark.parametrize("name", SOUND)
def test_masks_and_flags_that_work_are_not_reported(name):
    """Also flags that hide nothing by design."""
    assert result(SOUND[name], torch.randn(3, 5, 6), VALID).outcome in {"passed", "skipped"}


def test_attention_of_torch_passes():
    """Its mask is true where keys are hidden."""
    layer = nn.MultiheadAttention(6, 2, batch_first=True)
    x = torch.randn(3, 5, 6)
    assert result(layer, x, x, x, ~VALID).outcome == "passed"
