"""TRN004: a note on outputs that are distributions, and on nothing else."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check

X = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))


class OnlyInEval(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        return self.fc(x) if self.training else self.fc(x).softmax(-1)


def found(layer, *inputs, **more):
    """Return the findings of this rule alone."""
    report = check(layer, *inputs, select=["TRN004"], **more)
    assert report.counts["error"] == 0, report.results
    return report.findings


@pytest.mark.parametrize(
    ("last", "name"),
    [(nn.Softmax(dim=1), "probabilities"), (nn.LogSoftmax(dim=1), "log-probabilities")],
)
def test_distributions_get_a_note(last, name):
    """With what they are called."""
    (finding,) = found(nn.Sequential(nn.Linear(6, 3), last), X)
    assert finding.severity == "note"
    assert finding.found.startswith(f"{name}:")


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(6, 3),
        nn.Sigmoid(),
        nn.Sequential(nn.Linear(6, 1), nn.Sigmoid()),
        nn.LayerNorm(6),
        nn.ReLU(),
        OnlyInEval(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_other_outputs_get_none(layer):
    """Positive, bounded or normalised is not enough; training mode decides."""
    assert found(layer, X) == ()


def test_with_a_loss_another_rule_judges():
    """NET005 looks at both together."""
    layer = nn.Sequential(nn.Linear(6, 3), nn.LogSoftmax(dim=1))
    target = torch.tensor([0, 1, 2, 0])
    assert found(layer, X, loss=nn.NLLLoss(), target=target) == ()
