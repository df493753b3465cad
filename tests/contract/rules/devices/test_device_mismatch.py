"""What stays behind on the CPU is found without an accelerator; what moves itself passes."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return DEV001's findings."""
    report = check(layer, *inputs, select=["DEV001"])
    assert report.counts["error"] == 0
    return report.findings


def outcome(layer, *inputs):
    """Return what the rule came to, and why."""
    (result,) = check(layer, *inputs, select=["DEV001"]).results
    return result.outcome, result.reason


class Filter(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 2, 3)
        self.taps = torch.hann_window(5).expand(2, 1, 5).clone()

    def forward(self, x):
        return nn.functional.conv1d(self.conv(x), self.taps, groups=2)


class Noise(nn.Module):
    def forward(self, x):
        return x + 0.1 * torch.randn(x.shape) if self.training else x


class Hidden(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = [nn.Linear(4, 4), nn.Linear(4, 4)]

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return x


class Through(nn.Module):
    def forward(self, x):
        return torch.from_numpy(x.detach().numpy() * 2)


class CausalMask(nn.Module):
    def forward(self, scores):
        length = scores.shape[-1]
        return scores.masked_fill(torch.ones(length, length).triu(1).bool(), -math.inf).softmax(-1)


class Fresh(nn.Module):
    def forward(self, x):
        return torch.zeros(x.shape)


def test_a_plain_tensor_is_named_with_its_line():
    """The attribute, the operator and the line that used it."""
    (finding,) = found(Filter(), torch.randn(3, 2, 9))
    assert finding.severity == "error"
    assert finding.where == "taps"
    assert "aten::convolution" in finding.found
    assert finding.file == __file__
    assert "conv1d" in Path(__file__).read_text().splitlines()[finding.line - 1]


@pytest.mark.parametrize(
    ("layer", "inputs", "words"),
    [
        (Noise(), torch.randn(3, 4), "in training mode"),
        (Hidden(), torch.randn(3, 4), "aten::"),
        (Through(), torch.randn(3, 4), "Tensor.numpy"),
        (CausalMask(), torch.randn(2, 4, 4), "aten::masked_fill"),
        (Fresh(), torch.randn(3, 4), "came out on cpu"),
        (nn.Sequential(nn.Linear(4, 12), Filter()), torch.randn(3, 2, 4), "aten::convolution"),
    ],
    ids=["training-noise", "hidden-modules", "numpy", "mask", "fresh-output", "nested"],
)
def test_guises(layer, inputs, words):
    """Factories in one mode only, lists of modules, numpy, masks, fresh outputs, parts of a net."""
    (finding,) = found(layer, inputs)
    assert words in finding.found


def test_a_hidden_module_is_named_with_its_parameter():
    """So that the reader knows what to register."""
    (finding,) = found(Hidden(), torch.randn(3, 4))
    assert finding.where.startswith("blocks[0].")


class MovesItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.randn(4)

    def forward(self, x):
        return x + self.table.to(x.device, x.dtype)


class MovesWithApply(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = torch.randn(4)

    def _apply(self, fn, **options):
        super()._apply(fn, **options)
        self.table = fn(self.table)
        return self

    def forward(self, x):
        return x + self.table


class MaskPerDevice(nn.Module):
    def __init__(self):
        super().__init__()
        self.mask = None

    def forward(self, x):
        if self.mask is None or self.mask.device != x.device:
            self.mask = torch.ones(x.shape[-1], device=x.device)
        return x * self.mask


class KeepsReferences(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))
        self.all_weights = [self.weight]
        self.by_name = {"weight": self.weight}

    def forward(self, x):
        return x * self.all_weights[0] * self.by_name["weight"]


class Scalar(nn.Module):
    def forward(self, x):
        return x * torch.tensor(2.0) + torch.full((), 3.0)


class ByKind(nn.Module):
    def forward(self, x):
        device = torch.device("cuda") if x.is_cuda else torch.device("cpu")
        return x + torch.eye(4, device=device)[0]


class IndexOnCpu(nn.Module):
    def forward(self, x):
        return x[:, torch.tensor([0, 2])]


class Statistics(nn.Module):
    def forward(self, x):
        return x * 2, x.mean(0).cpu()


class Closure(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4))
        self.act = lambda x: x * self.weight

    def forward(self, x):
        return self.act(x)


@pytest.mark.parametrize(
    "layer",
    [
        MovesItself(),
        MovesWithApply(),
        MaskPerDevice(),
        KeepsReferences(),
        Scalar(),
        ByKind(),
        IndexOnCpu(),
        Statistics(),
        Closure(),
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)),
        nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)),
        nn.utils.spectral_norm(nn.Linear(4, 4)),
        nn.LSTM(4, 4),
        nn.LazyLinear(3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_sound_layers_pass(layer):
    """Whatever follows the input's device, in its own way."""
    assert found(layer, torch.randn(3, 4)) == ()


def test_integer_inputs_and_attention_pass():
    """Layers without floating-point inputs, and with masks, are judged too."""
    tokens = torch.randint(5, (2, 3))
    assert outcome(nn.Embedding(5, 4, padding_idx=0, max_norm=1.0), tokens) == ("passed", "")
    x = torch.randn(3, 2, 4)
    assert outcome(nn.MultiheadAttention(4, 2), x, x, x) == ("passed", "")
    assert outcome(nn.TransformerEncoderLayer(4, 2), x) == ("passed", "")


class Branches(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Caller(nn.Module):
    def forward(self, x):
        return x.cuda() * 2


def test_what_reads_values_is_skipped_with_the_line():
    """Nothing is computed on the other device: the rule says where it ended."""
    judged, reason = outcome(Branches(), torch.randn(3, 4))
    assert judged == "skipped"
    assert "data-dependent" in reason
    assert "test_device_mismatch.py" in reason


@pytest.mark.skipif(torch.cuda.is_available(), reason="the call works where there is a GPU")
def test_an_accelerator_asked_for_by_name_is_found():
    """Without one, forward itself raises, and that is the finding."""
    (finding,) = found(Caller(), torch.randn(3, 4))
    # A build of torch with CUDA knows the device, one without refuses its name.
    assert "by name" in finding.found or "on cuda" in finding.found
    assert finding.rule_id == "DEV001"
