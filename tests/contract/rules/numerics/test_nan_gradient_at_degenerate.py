"""Finite outputs with gradients that are not."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class RootMeanSquaredError(nn.Module):
    def __init__(self, eps=0.0):
        super().__init__()
        self.eps = eps

    def forward(self, prediction, target):
        return ((prediction - target).square().mean() + self.eps).sqrt()


class SignedRoot(nn.Module):
    def forward(self, x):
        return x.sign() * x.abs().sqrt()


class SafeLog(nn.Module):
    def __init__(self, *, clamp=False):
        super().__init__()
        self.clamp = clamp
        self.proj = nn.Linear(6, 6)

    def forward(self, x):
        inner = x.abs().clamp_min(1e-6) if self.clamp else x.abs()
        return self.proj(torch.where(x == 0, 0.0, inner.log() * x))


class Spread(nn.Module):
    def forward(self, x):
        return x / (x.var(-1, keepdim=True).sqrt() + 1e-5)


def found(layer, *inputs):
    """Return NUM001's findings."""
    report = check(layer, *inputs, select=["NUM001"])
    assert report.counts["error"] == 0
    return report.findings


@pytest.mark.parametrize(
    ("layer", "inputs", "where", "step"),
    [
        (
            RootMeanSquaredError(),
            (torch.randn(4, 6), torch.randn(4, 6)),
            "inputs prediction and target equal",
            "Backward",
        ),
        (SignedRoot(), (torch.randn(4, 6),), "input x all zero", "Sqrt"),
        (SafeLog(), (torch.randn(4, 6),), "input x all zero", ""),
        (Spread(), (torch.randn(4, 6),), "input x", "Sqrt"),
        (nn.Sequential(nn.Linear(6, 6, bias=False), Spread()), (torch.randn(4, 6),), "", "Sqrt"),
    ],
    ids=["loss", "signed-root", "where", "spread", "nested"],
)
def test_a_root_or_logarithm_at_zero_is_found(layer, inputs, where, step):
    """Losses at a perfect prediction, roots, logarithms behind where, parts of a network."""
    (finding,) = found(layer, *inputs)
    assert finding.severity == "error"
    assert where in finding.where
    assert step in finding.found


def test_the_line_of_forward_is_named():
    """It is the one that autograd's anomaly mode names."""
    (finding,) = found(Spread(), torch.randn(4, 6))
    assert finding.file == __file__
    assert finding.line is not None


class Normalized(nn.Module):
    def forward(self, x):
        return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + 1e-6)


class Whitening(nn.Module):
    def forward(self, x):
        values, vectors = torch.linalg.eigh(x.t() @ x)
        return x @ vectors * (values + 1.0).sqrt()


@pytest.mark.parametrize(
    "layer",
    [
        Normalized(),
        SafeLog(clamp=True),
        Whitening(),
        nn.LayerNorm(6),
        nn.BatchNorm1d(6),
        nn.GRU(6, 3),
        nn.Softmax(-1),
        nn.Hardtanh(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_sound_layers_pass(layer):
    """An eps beside std, whose slope torch knows; decompositions; torch's own layers."""
    assert found(layer, torch.randn(4, 6)) == ()


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (RootMeanSquaredError(1e-6), (torch.randn(4, 6), torch.randn(4, 6))),
        (nn.MSELoss(), (torch.randn(4, 6), torch.randn(4, 6))),
        (nn.BCELoss(), (torch.rand(4, 6), torch.rand(4, 6))),
        (nn.KLDivLoss(), (torch.randn(4, 6).log_softmax(-1), torch.randn(4, 6).softmax(-1))),
        (nn.PairwiseDistance(), (torch.randn(4, 6), torch.randn(4, 6))),
        (nn.CosineSimilarity(), (torch.randn(4, 6), torch.randn(4, 6))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sound_losses_pass(layer, inputs):
    """Their inputs stay in the domain that the examples show."""
    assert found(layer, *inputs) == ()


def test_positive_inputs_are_not_set_to_zero():
    """The logarithm is right for what it is made for."""

    class Log(nn.Module):
        def forward(self, x):
            return x.log()

    assert found(Log(), torch.rand(4, 6) + 0.1) == ()
