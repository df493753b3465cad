"""NET006: outputs and targets that broadcast into a table."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
ROW = torch.tensor([0.3, -1.0, 2.0, 0.7])


def found(layer, loss, target):
    """Return the findings of this rule alone."""
    report = check(layer, X, loss=loss, target=target, select=["NET006"])
    assert report.counts["error"] == 0, report.results
    return report.findings


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.L1Loss(), lambda y, t: (y - t).pow(2).mean()])
@pytest.mark.parametrize(
    ("layer", "target", "fix"),
    [
        (nn.Linear(6, 1), ROW, "output.squeeze(1)"),
        (nn.Sequential(nn.Linear(6, 1), nn.Flatten(0)), ROW[:, None], "reshape"),
    ],
)
def test_a_column_against_a_row_is_an_error(layer, loss, target, fix):
    """Both losses are told."""
    (finding,) = found(layer, loss, target)
    assert finding.severity == "error"
    assert "(4, 4)" in finding.found
    assert fix in finding.fix


@pytest.mark.parametrize(
    ("layer", "loss", "target"),
    [
        (nn.Linear(6, 1), nn.MSELoss(), ROW[:, None]),
        (nn.Linear(6, 3), nn.CrossEntropyLoss(), torch.tensor([0, 1, 2, 0])),
        (nn.Linear(6, 2), nn.MSELoss(), torch.tensor([1.0, 0.0])),
        (nn.Linear(6, 1), lambda y, t: (y.flatten() - t.flatten()).abs().sum(), ROW),
    ],
)
def test_shapes_that_fit_pass(layer, loss, target):
    """Equal shapes, classes, one target for all samples, a loss that flattens."""
    assert found(layer, loss, target) == ()
