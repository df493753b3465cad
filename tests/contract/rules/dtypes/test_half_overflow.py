"""Numbers that float16 cannot hold."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


class Attention(nn.Module):
    def __init__(self, fill=-1e9):
        super().__init__()
        self.fill = fill
        self.proj = nn.Linear(4, 12)

    def forward(self, x, mask):
        query, key, value = self.proj(x).chunk(3, dim=-1)
        scores = query @ key.transpose(-2, -1)
        fill = torch.finfo(x.dtype).min if self.fill is None else self.fill
        return scores.masked_fill(~mask, fill).softmax(-1) @ value


class SumOfSquares(nn.Module):
    def forward(self, x):
        return x / (x * 200).square().sum(-1, keepdim=True).sqrt()


MASK = torch.ones(5, 5).tril().bool()


@pytest.mark.parametrize(
    ("layer", "inputs", "words"),
    [
        (Attention(), (torch.randn(3, 5, 4), MASK), "without overflow"),
        (SumOfSquares(), (torch.randn(3, 8),), "first at aten::"),
    ],
    ids=["fill", "squares"],
)
def test_an_overflow_is_found(layer, inputs, words):
    """Mask constants that raise, and sums of squares that make the answer zero."""
    (finding,) = check(layer, *inputs, select=["DTY003"]).findings
    assert finding.severity == "warning"
    assert words in finding.found
    assert finding.file == __file__


@pytest.mark.parametrize("fill", [None, float("-inf")])
def test_masks_that_fit_pass(fill):
    """The smallest number of the dtype, or infinity, which softmax turns into zero."""
    report = check(Attention(fill), torch.randn(3, 5, 4), MASK, select=["DTY003"])
    assert report.findings == ()
    assert report.counts["passed"] == 1


@pytest.mark.parametrize("layer", [nn.LayerNorm(8), nn.LSTM(8, 4), nn.Linear(8, 3), nn.Softmax(-1)])
def test_torch_layers_pass(layer):
    """In both modes of theirs."""
    assert check(layer, torch.randn(3, 8), select=["DTY003"]).counts["passed"] == 1


def test_inputs_that_do_not_fit_are_skipped():
    """Nothing is said about a layer whose inputs lie beyond float16."""
    report = check(nn.ReLU(), 1e6 * torch.randn(3, 8), select=["DTY003"])
    assert report.counts["skipped"] == 1
