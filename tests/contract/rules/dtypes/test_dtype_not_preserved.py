"""Layers that lose float64 or leave bfloat16 without a word."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class RMSNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))

    def forward(self, x):
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(-1, keepdim=True) + 1e-6)
        return y if x.dtype == torch.float64 else y * self.weight


class Table(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(4, 4)

    def forward(self, x):
        position = torch.arange(x.shape[1], device=x.device, dtype=torch.float32)
        return self.proj(x) + torch.sin(position)


@pytest.mark.parametrize(
    ("layer", "words"),
    [(RMSNorm(), "float32 comes out of float64"), (Table(), "float32 comes out of bfloat16")],
)
def test_a_changed_dtype_is_found(layer, words):
    """With both dtypes and the line where it changed."""
    (finding,) = check(layer, torch.randn(3, 4), select=["DTY002"]).findings
    assert finding.severity == "warning"
    assert words in finding.found
    assert finding.file == __file__


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(4, 7)

    def forward(self, x):
        return self.proj(x).float()


class Loss(nn.Module):
    def forward(self, x):
        return x.float().square().mean()


class Timestep(nn.Module):
    def forward(self, x):
        return torch.cat([x.float().sin(), x.float().cos()], dim=-1)


class Routed(nn.Module):
    def forward(self, x):
        return x * 2, x.float().softmax(-1)


class Codes(nn.Module):
    def forward(self, x):
        return x.argmax(-1), x


@pytest.mark.parametrize(
    "layer", [Head(), Loss(), Timestep(), Routed(), Codes(), nn.GRU(4, 3), nn.BatchNorm1d(4)]
)
def test_sound_layers_pass(layer):
    """Casts at the end, scalar losses, second outputs and indices are choices."""
    report = check(layer, torch.randn(3, 4), select=["DTY002"])
    assert report.findings == ()
    assert report.counts["passed"] == 1
