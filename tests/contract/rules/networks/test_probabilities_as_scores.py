"""NET008: probabilities that are taken for scores once more."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from layerwright.contract.check import check

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
LABELS = torch.tensor([0, 2, 1, 1])


class Scored(nn.Module):
    """Makes something of its scores."""

    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.function = function

    def forward(self, x):
        return self.function(self.linear(x))


def found(function):
    """Return the findings of this rule alone."""
    report = check(Scored(function), X, select=["NET008"])
    assert report.counts["error"] == 0, report.results
    return report.findings


@pytest.mark.parametrize(
    "function",
    [
        lambda s: F.cross_entropy(s.softmax(-1), LABELS),
        lambda s: s.softmax(-1).log_softmax(-1),
        lambda s: F.softmax(F.softmax(s, -1)[:, None].clone(), -1),
        lambda s: F.softmax(s.softmax(-1).T, 0),
        lambda s: F.binary_cross_entropy_with_logits(s.sigmoid(), torch.ones(4, 3)),
        lambda s: s.sigmoid().flatten().sigmoid(),
        lambda s: F.logsigmoid(s.sigmoid()),
        lambda s: s.sigmoid().sigmoid_(),
    ],
)
def test_two_in_a_row_are_reported(function):
    """On the second one's line, with the first one's."""
    (finding,) = found(function)
    assert finding.severity == "warning"
    assert finding.file == __file__
    assert "lambda s:" in finding.where
    assert "lambda s:" in finding.found


@pytest.mark.parametrize(
    "function",
    [
        lambda s: F.cross_entropy(s, LABELS),
        lambda s: F.nll_loss(s.softmax(-1).log(), LABELS),
        lambda s: F.cross_entropy(s.log_softmax(-1), LABELS),  # changes nothing
        lambda s: F.binary_cross_entropy(s.sigmoid(), torch.ones(4, 3)),
        lambda s: (s.softmax(-1) / 0.1).softmax(-1),  # sharpened
        lambda s: s.softmax(-1).topk(2).values.softmax(-1),
        lambda s: s.softmax(0).softmax(1),  # over experts, then over tokens
        lambda s: (s * s.softmax(-1)).softmax(-1),
        lambda s: s.sigmoid().softmax(-1),
        lambda s: s.sigmoid() * s.sigmoid(),
        nn.Softmax(-1),
    ],
)
def test_one_of_them_passes(function):
    """Also probabilities that were changed before, and other dimensions."""
    assert found(function) == ()
