"""PUR008 noncontiguous-input."""

import linecache

import torch
from torch import nn

from layerwright.contract.check import check


def result(layer, *inputs):
    """Return what the rule comes to."""
    (found,) = check(layer, *inputs, select=["PUR008"]).results
    assert found.outcome != "error", found.reason
    return found


class RawMemory(torch.autograd.Function):
    """Reads memory as a kernel does that never looks at strides."""

    @staticmethod
    def forward(ctx, x):
        flat = x.as_strided((x.numel(),), (1,))
        return 2.0 * flat.reshape(x.shape)

    @staticmethod
    def backward(ctx, grad):
        return 2.0 * grad


class Kernel(nn.Module):
    def forward(self, x):
        return RawMemory.apply(x)


class Safe(nn.Module):
    def forward(self, x):
        return RawMemory.apply(x.contiguous())


class ChannelsLastOnly(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3)

    def forward(self, x):
        y = self.conv(x)
        return y.flatten(1) if y.is_contiguous() else y.permute(0, 2, 3, 1).flatten(1)


class View(nn.Module):
    def forward(self, x):
        return x.view(len(x), -1).sum(1)


class Nearest(nn.Module):
    """A codebook in which every value is equally far from two entries."""

    def __init__(self):
        super().__init__()
        self.register_buffer("codes", torch.tensor([-1.0, 1.0]))

    def forward(self, x):
        return self.codes[(x[..., None] - self.codes).abs().argmin(-1)]


class Sampler(nn.Module):
    def forward(self, x):
        return x + torch.randn_like(x)


def test_an_operator_of_torch_that_ignores_strides_is_a_warning():
    """The layer that calls it can help itself with contiguous()."""
    scores = torch.randn(12, 2, 5).log_softmax(-1)
    lengths = torch.tensor([12, 12]), torch.tensor([3, 2])
    found = result(nn.CTCLoss(), scores, torch.tensor([1, 2, 3, 4, 1]), *lengths).findings[0]
    assert found.severity == "warning"
    assert "aten::_ctc_loss" in found.found


def test_memory_that_is_read_as_it_lies_is_found():
    """The finding names input and layout."""
    found = result(Kernel(), torch.randn(4, 6)).findings[0]
    assert found.severity == "error"
    assert found.where == "forward, input x"
    assert "transposed in memory" in found.expected
    assert "values differ" in found.found
    assert result(Safe(), torch.randn(4, 6)).outcome == "passed"


def test_channels_last_alone_is_found():
    """A convolution keeps the layout, and what follows must not depend on it."""
    found = result(ChannelsLastOnly(), torch.randn(2, 4, 6, 6)).findings[0]
    assert "channels last" in found.expected


def test_a_refusal_is_a_note_with_its_line():
    """`view` says what to do."""
    found = result(View(), torch.randn(4, 3, 2)).findings[0]
    assert found.severity == "note"
    assert "x.view(" in linecache.getline(found.file, found.line)


def test_sound_layers_pass():
    """Ties that rounding turns over, draws, integers and scalars."""
    assert result(Nearest(), torch.zeros(4, 6)).outcome == "passed"
    assert result(Sampler(), torch.randn(4, 6)).outcome == "skipped"
    assert result(nn.Embedding(9, 3), torch.arange(8).view(2, 4)).outcome == "passed"
    assert result(nn.Conv2d(4, 8, 3), torch.randn(2, 4, 6, 6)).outcome == "passed"
    assert result(nn.LSTM(3, 4), torch.randn(5, 2, 3)).outcome == "passed"
    assert result(nn.ReLU(), torch.tensor(1.0)).outcome == "passed"
