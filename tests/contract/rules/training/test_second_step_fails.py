"""TRN006: what the first training step leaves must not break the second."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from layerwright.contract.check import check

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))


class RunningMean(nn.Module):
    def __init__(self, cut):
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.register_buffer("mean", torch.zeros(3))
        self.cut = cut

    def forward(self, x):
        x = self.fc(x)
        if self.training:
            mean = x.mean(0)
            self.mean = 0.9 * self.mean + 0.1 * (mean.detach() if self.cut else mean)
        return x - self.mean


class Frozen(nn.Module):
    """Locks itself after its first step."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        if self.training:
            if self.steps.item() > 0:
                self.fc.weight = None
            self.steps += 1
        return self.fc(x)


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        return checkpoint(self.fc, x, use_reentrant=False)


def found(layer, *inputs):
    """Return the findings of this rule alone."""
    report = check(layer, *inputs, select=["TRN006"])
    assert report.counts["error"] == 0, report.results
    return report.findings


@pytest.mark.parametrize("layer", [RunningMean(cut=False), Frozen()])
def test_a_second_step_that_raises_is_an_error(layer):
    """The number of the step and the error are told."""
    (finding,) = found(layer, X)
    assert finding.severity == "error"
    assert finding.where == "training step 2"
    assert "raised" in finding.found


@pytest.mark.parametrize(
    "layer",
    [
        RunningMean(cut=True),
        Checkpointed(),
        nn.BatchNorm1d(5),
        nn.LSTM(5, 3),
        parametrizations.spectral_norm(nn.Linear(5, 3)),
        nn.Linear(5, 3).requires_grad_(requires_grad=False),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_steps_that_follow_each_other_pass(layer):
    """Detached statistics, checkpoints, parametrizations."""
    assert found(layer, X) == ()
