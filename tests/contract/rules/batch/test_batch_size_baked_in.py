"""BAT003: another number of samples, at once or in a second call."""

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
    return check(layer, *inputs, select=["BAT003"]).results[0]


class Hidden(nn.Module):
    """Keeps its first state as a buffer."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(6, 5, batch_first=True)
        self.register_buffer("first", torch.zeros(1, 4, 5))

    def forward(self, x):
        return self.gru(x, self.first)[0]


class Cache(nn.Module):
    """Keeps what it saw."""

    def __init__(self):
        super().__init__()
        self.keys = None

    def forward(self, x):
        self.keys = x if self.keys is None else torch.cat([self.keys, x], 1)
        return x @ self.keys.transpose(1, 2) @ self.keys


class Kept(nn.Module):
    """Keeps the number of samples."""

    def __init__(self):
        super().__init__()
        self.size = None

    def forward(self, x):
        self.size = self.size or len(x)
        return x.reshape(self.size, -1)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (Hidden(), (4, 7, 6)),
        (Layer(lambda m, x: m.linear(x.view(4, -1)), linear=nn.Linear(12, 3)), (4, 3, 4)),
    ],
)
def test_a_size_in_the_code_is_reported(layer, x):
    """No other number of samples works, although samples are independent."""
    judged = result(layer, torch.randn(x))
    assert judged.findings[0].severity == "error"
    assert "with 3 samples it raised" in judged.findings[0].found


def test_a_size_kept_by_the_first_call_is_reported():
    """A fresh copy works for both sizes."""
    judged = result(Kept(), torch.randn(4, 3, 2))
    assert "2 samples" in judged.findings[0].expected


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (nn.InstanceNorm2d(3, affine=True), (3, 8, 8)),
        (Layer(lambda m, x: x + m.table, table=nn.Parameter(torch.zeros(5, 6))), (5, 6)),
        (Layer(lambda _, x: x.view(2, 4, -1).roll(1, 1).view(x.shape)), (8, 6)),
        (Cache(), (4, 5, 6)),
        (nn.Linear(6, 3), (4, 6)),
        (nn.LazyLinear(3), (4, 6)),
        (nn.Conv2d(3, 4, 3), (3, 8, 8)),
    ],
)
def test_sound_layers_are_not_reported(layer, x):
    """Also where dimension 0 has a fixed size because it is no batch, or calls are remembered."""
    assert result(layer, torch.randn(x)).outcome in {"passed", "skipped"}


@pytest.mark.parametrize("sample", [0.1, 0.5, 0.9])
def test_values_kept_for_each_channel_are_no_batch_size(sample):
    """Those of torch choose between few windows: other values often change no answer."""
    samples = torch.full((1, 3, 2), sample)
    layer = nn.FractionalMaxPool2d(2, output_size=3, _random_samples=samples)
    judged = result(layer, torch.randn(3, 7, 7))
    assert judged.reason == "dimension 0 has a fixed size, and may be no batch"


class Thinned(nn.Module):
    """Takes an image of three channels, or a batch of them."""

    def forward(self, x):
        if x.dim() not in (3, 4) or x.shape[-3] != 3:
            raise ValueError(f"expected (N, 3, H, W) or (3, H, W), received {tuple(x.shape)}")
        return x[..., ::2, ::2]


def test_the_channels_of_an_image_without_a_batch_are_no_batch_size():
    """Though each of them is computed alone, in the same way."""
    judged = result(Thinned(), torch.randn(3, 8, 8))
    assert judged.reason == "dimension 0 has a fixed size, and may be no batch"
    assert result(Thinned(), torch.randn(2, 3, 8, 8)).outcome == "passed"


def test_a_first_state_of_zeros_is_no_value_for_each_row():
    """Its size is the number of samples that the author had."""
    gru = nn.GRU(6, 5, batch_first=True)
    layer = Layer(lambda m, x: m.gru(x, m.first)[0], gru=gru, first=torch.zeros(1, 4, 5))
    assert result(layer, torch.randn(4, 7, 6)).outcome == "failed"


@pytest.mark.parametrize("rules", [["BAT003"], ["DTY003"], ["NUM003"], ["INI003"]])
def test_a_sparse_input_is_no_crash(rules):
    """It has no memory to be viewed, cut or rolled."""
    layer = Layer(lambda m, x, edges: torch.sparse.mm(edges, m.linear(x)), linear=nn.Linear(4, 3))
    report = check(layer, torch.randn(5, 4), torch.eye(5).roll(1, 0).to_sparse(), select=rules)
    assert report.counts["error"] == 0, report.results


@pytest.mark.parametrize("holder", range(4))
def test_a_maximum_over_samples_is_no_independence(holder):
    """Whichever sample holds it."""
    x = torch.randn(4, 3, 2)
    x[holder, 0, 0] = 9.0
    layer = Layer(lambda _, x: x / x.max())
    report = check(layer, x, select=["BAT002", "BAT003", "BAT008"])
    assert report.counts["skipped"] == 3, report.results


def test_a_mask_for_each_head_follows_the_samples():
    """Attention of torch takes a mask with one part for each sample and head."""
    attention = nn.MultiheadAttention(6, 2, batch_first=True)
    layer = Layer(lambda self, x, mask: self.attention(x, x, x, attn_mask=mask)[0],
                  attention=attention)  # fmt: skip
    mask = (~torch.eye(3, dtype=torch.bool)).expand(4, 3, 3).clone()
    assert result(layer, torch.randn(2, 3, 6), mask).outcome != "failed"


def test_a_count_among_the_arguments_follows_the_samples():
    """A caller who passes fewer samples passes their number too."""
    layer = Layer(lambda self, x, count: self.cell(x, x.new_zeros(count, 4)),
                  cell=nn.GRUCell(3, 4))  # fmt: skip
    assert result(layer, torch.randn(4, 3), 4).outcome != "failed"


def test_weights_of_the_same_length_are_no_values_for_each_row():
    """The three gates of a GRU with four inputs have nothing to do with four samples."""
    layer = Layer(lambda self, x: self.gru(x, self.state)[0], gru=nn.GRU(4, 5, batch_first=True))
    layer.register_buffer("state", torch.zeros(1, 4, 5))
    assert result(layer, torch.randn(4, 3, 4)).outcome == "failed"


def test_a_sparse_buffer_is_no_crash():
    """It may hold a value for each row: no verdict."""
    layer = Layer(lambda self, x: torch.sparse.mm(self.graph, self.fc(x)), fc=nn.Linear(4, 3))
    layer.register_buffer("graph", torch.eye(6).to_sparse_coo())
    assert result(layer, torch.randn(6, 4)).outcome == "skipped"
