"""BAT001: where samples meet decides whether that is a fault."""

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


def result(layer, *inputs):
    """Judge with this rule alone."""
    return check(layer.eval(), *inputs, select=["BAT001"]).results[0]


def attention(layer, x):
    return torch.softmax(layer.query(x) @ x.transpose(1, 2), dim=0) @ x


def standardised(layer, x):
    x = layer.linear(x)
    return (x - x.mean((0, 2, 3), keepdim=True)) / x.std((0, 2, 3), keepdim=True)


def tiled(layer, x):
    windows = x.reshape(-1, 4, x.shape[-1])
    return torch.cat([layer.linear(x[:, :4]).repeat(2, 1, 1), windows], 1).view(len(x), -1)


BROKEN = {
    "softmax over samples": (
        Layer(attention, query=nn.Linear(6, 6)),
        (torch.randn(3, 5, 6),),
        "a softmax",
    ),
    "softmax last": (
        nn.Sequential(nn.Linear(6, 4), nn.Softmax(0)),
        (torch.randn(5, 6),),
        "the same answer whatever it is",
    ),
    "images standardised together": (
        Layer(standardised, linear=nn.Conv2d(3, 4, 3)),
        (torch.randn(4, 3, 8, 8),),
        "a statistic",
    ),
    "a sample alone is undefined": (
        Layer(lambda m, x: m.linear((x - x.mean(0)) / x.std(0)), linear=nn.Linear(6, 4)),
        (torch.randn(5, 6),),
        "a sample alone gives NaN",
    ),
    "transposed by a view": (
        Layer(lambda m, x: m.linear(x.reshape(x.shape[1], x.shape[0], 6)), linear=nn.Linear(6, 2)),
        (torch.randn(3, 5, 6),),
        "a view from (7, 5, 6) to (5, 7, 6)",
    ),
    "matrix transposed by a view": (
        Layer(
            lambda m, x: (m.weight @ x.reshape(6, -1)).view(len(x), -1),
            weight=nn.Parameter(torch.randn(4, 6)),
        ),
        (torch.randn(5, 6),),
        "a view from (7, 6) to (6, 7)",
    ),
    "rows merged": (
        Layer(
            lambda m, x: m.linear(m.conv(x).view(-1, 90)),
            conv=nn.Conv2d(3, 4, 3),
            linear=nn.Linear(90, 5),
        ),
        (torch.randn(5, 3, 8, 8),),
        "samples into one row",
    ),
    "rows paired with other samples": (
        Layer(tiled, linear=nn.Linear(6, 6)),
        (torch.randn(4, 8, 6),),
        "[0, 1, 2, 3, 4, 5, 6, 0, 1",
    ),
    "images flipped along the batch": (
        Layer(lambda m, x: m.conv(x.flip(0)), conv=nn.Conv2d(3, 4, 3)),
        (torch.randn(4, 3, 8, 8),),
        "[6, 5, 4, 3, 2, 1, 0]",
    ),
    "attention told that the batch is second": (
        Layer(
            lambda m, x: m.head(m.attention(x, x, x)[0].mean(1)),
            attention=nn.MultiheadAttention(6, 2),
            head=nn.Linear(6, 3),
        ),
        (torch.randn(4, 8, 6),),
        "batch_first=False",
    ),
    "patches of images to attention that takes them for the batch": (
        Layer(
            lambda m, x: m.head(m.encoder(m.patches(x).flatten(2).transpose(1, 2)).mean(1)),
            patches=nn.Conv2d(3, 8, 4, stride=4),
            encoder=nn.TransformerEncoderLayer(8, 2, 16),
            head=nn.Linear(8, 3),
        ),
        (torch.randn(4, 3, 12, 12),),
        "batch_first=False",
    ),
    "first token, the same for all samples": (
        Layer(
            lambda m, x: m.encoder(
                torch.cat(
                    [m.token.expand(len(x), 1, 8), m.patches(x).flatten(2).transpose(1, 2)], 1
                )
            )[:, 0],
            patches=nn.Conv2d(3, 8, 4, stride=4),
            token=nn.Parameter(torch.randn(8)),
            encoder=nn.TransformerEncoderLayer(8, 2, 16),
        ),
        (torch.randn(4, 3, 12, 12),),
        "batch_first=False",
    ),
    "the last sample instead of the last step": (
        Layer(
            lambda m, x: m.head(m.lstm(x)[0][-1]),
            lstm=nn.LSTM(6, 5, batch_first=True),
            head=nn.Linear(5, 3),
        ),
        (torch.randn(4, 8, 6),),
        "made of sample 6 alone",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_samples_that_meet_are_reported(name):
    """As an error, with what was seen."""
    layer, inputs, words = BROKEN[name]
    judged = result(layer, *inputs)
    assert judged.outcome == "failed"
    assert judged.findings[0].severity == "error"
    assert words in judged.findings[0].found


def test_the_line_of_the_mixing_operator_is_named():
    """The finding points into the user's file."""
    finding = result(Layer(attention, query=nn.Linear(6, 6)), torch.randn(3, 5, 6)).findings[0]
    assert finding.file == __file__
    assert "dim=0" in finding.where


def appended_deviation(layer, x):
    spread = x.std(0).mean().expand(len(x), 1, *x.shape[2:])
    return layer.conv(torch.cat([x, spread], 1))


def temporal_shift(layer, x):
    clips = x.view(-1, 4, *x.shape[1:])
    out = clips.clone()
    out[:, 1:, :1] = clips[:, :-1, :1]
    return layer.conv(out.view_as(x))


def windows(layer, x):
    batch, height, width, channels = x.shape
    cells = x.view(batch, height // 2, 2, width // 2, 2, channels).transpose(2, 3)
    return layer.linear(cells.reshape(-1, 4, channels))


def pair_norm(_, x):
    x = x - x.mean(0)
    return x / (1e-6 + x.square().sum(1).mean()).sqrt()


def instances(layer, x):
    weights = torch.softmax(layer.score(x), 0)
    return (weights * x).sum(0), weights


def relative_shift(layer, x):
    scores = nn.functional.pad(x @ layer.weight.T, (1, 0)).view(-1, len(x))[1:]
    return torch.softmax(x @ x.T + scores.view(len(x), -1), -1) @ x


def normalised(x):
    return nn.functional.normalize(x, dim=1)


LINEAR = nn.Linear(6, 6)
SOUND = {
    "softmax of torch": (nn.Softmax(0), torch.randn(5, 6)),
    "batch norm without statistics": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
        torch.randn(5, 3, 8, 8),
    ),
    "instance norm, unbatched": (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4)),
        torch.randn(3, 8, 8),
    ),
    "lstm, time first": (nn.LSTM(3, 4), torch.randn(5, 2, 3)),
    "lstm, unbatched": (nn.LSTM(3, 4, bidirectional=True), torch.randn(5, 3)),
    "lstm, time first, last step": (
        Layer(lambda m, x: m.lstm(x)[0][-1], lstm=nn.LSTM(6, 7)),
        torch.randn(8, 4, 6),
    ),
    "transformer, unbatched": (nn.TransformerEncoderLayer(8, 2, 16), torch.randn(5, 8)),
    "graph": (
        Layer(lambda m, x, adjacency: adjacency @ m.linear(x), linear=LINEAR),
        torch.randn(5, 6),
        torch.randn(5, 5),
    ),
    "graph with edges": (
        Layer(
            lambda m, x, e: torch.zeros_like(x).index_add(0, e[1], m.linear(x[e[0]])), linear=LINEAR
        ),
        torch.randn(5, 6),
        torch.randint(0, 5, (2, 7)),
    ),
    "set": (Layer(lambda m, x: m.linear(x - x.mean(0)), linear=LINEAR), torch.randn(5, 6)),
    "pair norm": (Layer(pair_norm), torch.randn(5, 6)),
    "instances": (Layer(instances, score=nn.Linear(6, 1)), torch.randn(5, 6)),
    "deviation of the batch": (
        Layer(appended_deviation, conv=nn.Conv2d(4, 5, 3)),
        torch.randn(4, 3, 8, 8),
    ),
    "frames of one film": (
        Layer(
            lambda m, x: m.lstm(m.conv(x).flatten(1)[:, None])[0][:, 0],
            conv=nn.Conv2d(3, 2, 3),
            lstm=nn.LSTM(32, 5),
        ),
        torch.randn(8, 3, 6, 6),
    ),
    "temporal shift": (Layer(temporal_shift, conv=nn.Conv2d(3, 4, 3)), torch.randn(8, 3, 6, 6)),
    "windows": (Layer(windows, linear=nn.Linear(3, 5)), torch.randn(3, 4, 6, 3)),
    "fourier": (
        Layer(lambda m, x: m.linear(torch.fft.fft2(x).real), linear=LINEAR),
        torch.randn(8, 6),
    ),
    "cumulative": (Layer(lambda m, x: m.linear(x.cumsum(0)), linear=LINEAR), torch.randn(8, 6)),
    "contrast": (
        Layer(lambda m, x: normalised(m.linear(x)) @ normalised(m.linear(x)).T, linear=LINEAR),
        torch.randn(8, 6),
    ),
    "frames stacked": (
        Layer(lambda m, x: m.linear(x.view(len(x) // 2, -1)), linear=nn.Linear(12, 6)),
        torch.randn(8, 6),
    ),
    "relative positions": (
        Layer(relative_shift, weight=nn.Parameter(torch.randn(8, 6))),
        torch.randn(8, 6),
    ),
    "all pairs": (
        Layer(
            lambda m, x: m.linear(
                torch.cat([x.repeat_interleave(len(x), 0), x.repeat(len(x), 1)], 1)
            ),
            linear=nn.Linear(12, 3),
        ),
        torch.randn(5, 6),
    ),
    "unbatched image": (nn.Conv2d(3, 4, 3), torch.randn(3, 8, 8)),
}


@pytest.mark.parametrize("name", SOUND)
def test_meetings_that_may_be_meant_are_not_reported(name):
    """Passed, or skipped with a reason."""
    judged = result(*SOUND[name])
    assert judged.outcome in {"passed", "skipped"}, judged


def test_the_trait_excuses():
    """A layer that compares samples on purpose says so."""
    case = Case(
        nn.Sequential(nn.Linear(6, 4), nn.Softmax(0)),
        torch.randn(5, 6),
        traits={"mixes_batch": True},
    )
    assert check(case, select=["BAT001"]).results[0].outcome == "skipped"


def ranged(_, z):
    least, largest = z.abs().min(), z.abs().max()
    return torch.polar((z.abs() - least) / (largest - least), z.angle())


def test_extremes_of_other_samples_are_told_without_numbers():
    """Without the last sample nothing moved: the words do not claim that something did."""
    z = torch.randn(2, 3, 4, 4, generator=torch.manual_seed(1), dtype=torch.complex64)
    (finding,) = result(Layer(ranged), z).findings
    assert "a statistic (aten::min) runs over the samples" in finding.found
    assert "None" not in finding.found


def views_as_groups(layer, x):
    y = layer.conv(x)
    return y.view(len(y) // 2, 2, -1).amax(1)


def test_groups_of_samples_are_not_cut_apart():
    """A number of samples that the layer is not made for shows nothing about it."""
    layer = Layer(views_as_groups, conv=nn.Conv2d(3, 4, 1))
    judged = result(layer, torch.randn(6, 3, 4, 4))
    assert judged.reason.endswith("multiples of 6 do not: they may be groups")
