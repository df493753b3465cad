"""An eps that float16 rounds to zero."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class PixelNorm(nn.Module):
    def __init__(self, eps):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(1, keepdim=True) + self.eps)


class Standardize(nn.Module):
    def __init__(self, eps):
        super().__init__()
        self.eps = eps

    def forward(self, x):
        return (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + self.eps)


@pytest.mark.parametrize(
    ("layer", "words"),
    [(PixelNorm(1e-8), "all zero"), (Standardize(1e-9), "input x")],
    ids=["pixel-norm", "standardize"],
)
def test_a_vanished_eps_is_found(layer, words):
    """With the input that shows it and the operator."""
    (finding,) = check(layer, torch.randn(3, 8), select=["DTY004"]).findings
    assert finding.severity == "note"
    assert words in finding.where
    assert "aten::" in finding.found
    assert finding.file == __file__


def test_it_is_a_warning_for_a_layer_in_float16():
    """There it is no remote possibility."""
    (finding,) = check(PixelNorm(1e-8), torch.randn(3, 8).half(), select=["DTY004"]).findings
    assert finding.severity == "warning"


class Normalize(nn.Module):
    def forward(self, x):
        return nn.functional.normalize(x, dim=-1) @ torch.ones_like(x).t()


@pytest.mark.parametrize(
    "layer",
    [Normalize(), PixelNorm(1e-5), Standardize(1e-5), nn.LayerNorm(8), nn.RMSNorm(8), nn.GELU()],
    ids=["normalize", "pixel-norm", "standardize", "layer-norm", "rms-norm", "gelu"],
)
def test_sound_layers_pass(layer):
    """Torch's own functions, whose eps is not the user's; an eps that float16 knows."""
    assert check(layer, torch.randn(3, 8), select=["DTY004"]).counts["passed"] == 1


def test_a_domain_without_constants_is_skipped():
    """Rows that sum to one are not replaced by zeros."""
    report = check(PixelNorm(1e-8), torch.rand(3, 8).softmax(-1), select=["DTY004"])
    assert report.counts["skipped"] == 1
