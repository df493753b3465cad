"""NET007: losses that raise, or whose gradient ends."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(x), x


def found(layer, loss, target):
    """Return the findings of this rule alone."""
    report = check(layer, X, loss=loss, target=target, select=["NET007"])
    assert report.counts["error"] == 0, report.results
    return report.findings


@pytest.mark.parametrize(
    ("layer", "loss", "target", "expected", "fix"),
    [
        (
            nn.Linear(6, 3),
            nn.CrossEntropyLoss(),
            torch.tensor([1, 2, 3, 1]),
            "[0, 2]",
            "count classes from 0",
        ),
        (nn.Linear(6, 3), nn.CrossEntropyLoss(), torch.tensor([0, 5, 3, 1]), "[0, 2]", "6 outputs"),
        (
            nn.Linear(6, 3),
            nn.CrossEntropyLoss(),
            torch.tensor([0.0, 1.0, 2.0, 0.0]),
            "int64",
            "target.long()",
        ),
        (nn.Linear(6, 3), nn.CrossEntropyLoss(), torch.zeros(4, 1).long(), "(N,)", "squeeze(1)"),
        (nn.Linear(6, 1), nn.BCELoss(), torch.zeros(4, 1), "[0, 1]", "BCEWithLogitsLoss"),
        (nn.Linear(6, 3), nn.CrossEntropyLoss(), torch.zeros(2).long(), "2 rows", "flatten(1)"),
        (Pair(), nn.CrossEntropyLoss(), torch.zeros(4).long(), "one output tensor", "output[0]"),
        (nn.Linear(6, 1), nn.BCEWithLogitsLoss(), torch.zeros(4), "shape (4, 1)", "shapes"),
    ],
)
def test_a_loss_that_raises_is_explained(layer, loss, target, expected, fix):
    """What it wants, and what to write."""
    (finding,) = found(layer, loss, target)
    assert finding.severity == "error"
    assert expected in finding.expected
    assert fix in finding.fix


def test_a_loss_without_gradient_is_an_error():
    """An accuracy is no loss."""

    def wrong(output, target):
        return (output.argmax(1) != target).float().mean()

    (finding,) = found(nn.Linear(6, 3), wrong, torch.zeros(4).long())
    assert "without a graph" in finding.found


@pytest.mark.parametrize(
    ("layer", "loss", "target"),
    [
        (nn.Linear(6, 3), nn.CrossEntropyLoss(), torch.tensor([0, 1, 2, 0])),
        (nn.Linear(6, 1), nn.BCEWithLogitsLoss(), torch.zeros(4, 1)),
        (Pair(), lambda output, target: (output[0] - target).abs().mean(), torch.zeros(4, 3)),
    ],
)
def test_a_loss_that_fits_passes(layer, loss, target):
    """For one output tensor or several."""
    assert found(layer, loss, target) == ()
