"""Gradients on ordinary inputs that are not finite."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class Distances(nn.Module):
    def __init__(self, *, safe=False):
        super().__init__()
        self.safe = safe
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, x):
        gap = (x * self.scale).unsqueeze(-2) - (x * self.scale).unsqueeze(-3)
        return torch.linalg.vector_norm(gap, dim=-1) if self.safe else gap.square().sum(-1).sqrt()


class Masked(nn.Module):
    def __init__(self, *, safe=False):
        super().__init__()
        self.safe = safe

    def forward(self, x):
        positive = x > 0
        inner = torch.where(positive, x, 1.0) if self.safe else x
        return torch.where(positive, inner.sqrt(), torch.zeros_like(x))


@pytest.mark.parametrize(
    ("layer", "x", "name"),
    [(Distances(), torch.randn(3, 4, 2), "scale"), (Masked(), torch.randn(3, 4), "x")],
)
def test_nan_behind_a_finite_output_is_found(layer, x, name):
    """The zero distance of a point to itself; the branch of where that is not taken."""
    (finding,) = check(layer, x, select=["NUM003"]).findings
    assert finding.severity == "error"
    assert name in finding.where
    assert "Backward" in finding.found
    assert finding.file == __file__


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (Distances(safe=True), (torch.randn(3, 4, 2),)),
        (Masked(safe=True), (torch.randn(3, 4),)),
        (nn.MultiheadAttention(4, 2), (torch.randn(3, 2, 4),) * 3),
        (nn.KLDivLoss(), (torch.randn(3, 4).log_softmax(-1), torch.eye(4)[:3])),
        (nn.BatchNorm1d(4), (torch.randn(3, 4),)),
    ],
    ids=["distances", "masked", "attention", "targets-of-zero", "batch-norm"],
)
def test_sound_layers_pass(layer, inputs):
    """Gradients of targets do not count."""
    assert check(layer, *inputs, select=["NUM003"]).counts["passed"] == 1
