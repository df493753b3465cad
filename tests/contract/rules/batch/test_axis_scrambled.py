"""BAT008: views that cut positions apart."""

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
    return check(layer, *inputs, select=["BAT008"]).results[0]


def heads(split, merge):
    def run(layer, x):
        value = split(layer.value(x))
        weights = torch.softmax(value @ value.transpose(-2, -1), -1)
        return layer.out(merge(weights @ value, x))

    return Layer(run, value=nn.Linear(6, 6), out=nn.Linear(6, 6))


def split(x):
    return x.view(*x.shape[:2], 2, 3).transpose(1, 2)


def merge(x, like):
    return x.transpose(1, 2).reshape(like.shape)


BROKEN = {
    "split by view": (heads(lambda x: x.view(len(x), 2, -1, 3), merge), (4, 8, 6)),
    "merged by view": (heads(split, lambda x, like: x.reshape(like.shape)), (4, 8, 6)),
    "channels first by view": (
        Layer(lambda m, x: m.conv(x.reshape(len(x), 6, -1)), conv=nn.Conv1d(6, 4, 3)),
        (4, 8, 6),
    ),
    "tokens of an image by view": (
        Layer(
            lambda m, x: m.linear(m.conv(x).view(len(x), -1, 4)),
            conv=nn.Conv2d(3, 4, 4, stride=4),
            linear=nn.Linear(4, 5),
        ),
        (4, 3, 20, 20),
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_view_that_cuts_positions_is_reported(name):
    """With the line and both shapes."""
    layer, shape = BROKEN[name]
    judged = result(layer, torch.randn(shape))
    assert judged.findings[0].severity == "error"
    assert "a view from" in judged.findings[0].found
    assert judged.findings[0].file == __file__


def windows(layer, x):
    batch, height, width, channels = x.shape
    cells = x.view(batch, height // 2, 2, width // 2, 2, channels).transpose(2, 3)
    out = layer.linear(cells.reshape(-1, 4, channels))
    return out.view(batch, height // 2, width // 2, 2, 2, -1).transpose(2, 3).flatten(1, 2)


def relative_shift(layer, x):
    scores = x @ layer.table[:, : x.shape[1]]
    scores = torch.cat([scores.new_zeros(*x.shape[:2], 1), scores], -1)
    return torch.softmax(scores.view(len(x), -1, x.shape[1])[:, 1:], -1) @ x


SOUND = {
    "heads": (heads(split, merge), (4, 8, 6)),
    "groups": (nn.GroupNorm(2, 6), (4, 6, 5, 5)),
    "attention of torch": (nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), (4, 7, 6)),
    "pixels": (nn.PixelShuffle(2), (2, 8, 5, 5)),
    "windows": (Layer(windows, linear=nn.Linear(3, 5)), (3, 4, 6, 3)),
    "relative positions": (
        Layer(relative_shift, table=nn.Parameter(torch.randn(6, 99))),
        (4, 8, 6),
    ),
    "steps split": (
        Layer(lambda m, x: m.linear(x.view(len(x), x.shape[1] * 2, -1)), linear=nn.Linear(3, 4)),
        (4, 8, 6),
    ),
    "steps stacked": (
        Layer(lambda m, x: m.linear(x.view(len(x), x.shape[1] // 2, -1)), linear=nn.Linear(12, 4)),
        (4, 8, 6),
    ),
    "decoder": (
        nn.Sequential(nn.Linear(6, 36), nn.Unflatten(1, (4, 3, 3)), nn.Conv2d(4, 3, 3)),
        (5, 6),
    ),
    "flattened": (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(36, 3)), (5, 3, 5, 5)),
}


@pytest.mark.parametrize("name", SOUND)
def test_views_that_split_and_merge_pass(name):
    """Windows, heads, groups, stacked steps and shifts."""
    layer, shape = SOUND[name]
    assert result(layer, torch.randn(shape)).outcome == "passed"
