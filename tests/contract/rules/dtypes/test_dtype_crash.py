"""Layers that raise in float64 or bfloat16 because two dtypes meet."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(4, 4)

    def forward(self, x):
        hidden = torch.zeros(x.shape[0], 4, device=x.device)
        return self.cell(x, hidden)


class Router(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = nn.Linear(4, 3)

    def forward(self, x):
        return self.gate(x.float())


class Gather(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x):
        out = torch.zeros(x.shape)
        out.index_add_(0, torch.arange(x.shape[0]), self.linear(x))
        return out


class Taps(nn.Module):
    def __init__(self):
        super().__init__()
        self.taps = torch.ones(4, 1, 3)

    def forward(self, x):
        return nn.functional.conv1d(x.unsqueeze(-1).expand(-1, -1, 3), self.taps, groups=4)


@pytest.mark.parametrize("layer", [Recurrent(), Router(), Gather(), Taps()])
def test_a_dtype_that_is_written_down_is_found(layer):
    """Recurrent states, explicit casts, scatter targets, plain tensors; each with its line."""
    (finding,) = check(layer, torch.randn(3, 4), select=["DTY001"]).findings
    assert finding.severity == "warning"
    assert "float64" in finding.found
    assert finding.file == __file__


class Letters(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(7, 4, batch_first=True)

    def forward(self, letters):
        return self.rnn(nn.functional.one_hot(letters, 7).float())[0]


def test_a_recurrent_layer_that_gets_another_dtype_is_found():
    """Its own check words the clash otherwise."""
    (finding,) = check(Letters(), torch.randint(7, (3, 5)), select=["DTY001"]).findings
    assert "does not match weight dtype" in finding.found


class RMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x):
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-6)
        return y.type_as(x) * self.weight


class Spectral(nn.Module):
    def forward(self, x):
        return torch.fft.rfft(x, dim=-1).real


@pytest.mark.parametrize(
    "layer",
    [
        RMSNorm(),
        Spectral(),
        nn.LSTM(4, 4),
        nn.BatchNorm1d(4),
        nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)),
        nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_sound_layers_pass(layer):
    """Float32 inside on purpose, kernels that torch lacks, torch's own layers."""
    report = check(layer, torch.randn(3, 4), select=["DTY001"])
    assert report.findings == ()
    assert report.counts["passed"] == 1


def test_complex_layers_are_skipped():
    """A cast to a real dtype would cut their numbers."""
    report = check(nn.Linear(4, 2), torch.randn(3, 4, dtype=torch.complex64), select=["DTY001"])
    assert report.counts["skipped"] == 1
