"""PUR006 ignored-input."""

import pytest
import torch
from torch import nn
from torch.func import jvp
from torch.nn import functional as F

from layerwright.contract.case import Case
from layerwright.contract.check import check


def result(layer, *inputs, **kwargs):
    """Return what the rule comes to."""
    (found,) = check(Case(layer, inputs, kwargs), select=["PUR006"]).results
    assert found.outcome != "error", found.reason
    return found


class Two(nn.Module):
    """A layer of two inputs."""

    def __init__(self, function):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.alpha = nn.Parameter(torch.zeros(1))
        self.function = function

    def forward(self, x, other):
        return self.function(self, self.linear(x), other)


class Optional(nn.Module):
    def forward(self, x, mask=None, *rest):
        return 2.0 * x


class Lookup(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(9, 3))

    def forward(self, x):
        return self.table[: x.shape[1]].to(x.dtype)


class Batch(nn.Module):
    def forward(self, batch):
        return batch["x"] * 2.0


class MaskedWhenNeeded(nn.Module):
    def forward(self, x, mask):
        return x if bool(mask.all()) else x.masked_fill(~mask, 0.0)


class LabelsInTraining(nn.Module):
    def forward(self, x, labels):
        return x - F.one_hot(labels, 3) if self.training else x


X, Y = torch.randn(4, 3), torch.randn(4, 3)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda _, x, __: x, "no operator reads other"),
        (lambda m, x, other: (m.linear(other), x)[1], "computed from other reaches no output"),
        (lambda _, x, other: (other.sigmoid() > 0.5, x.relu())[1], "reaches no output"),
    ],
)
def test_an_input_without_a_part_is_a_warning(function, words):
    """Not read at all, or computed with in vain."""
    (found,) = result(Two(function), X, Y).findings
    assert found.severity == "warning"
    assert found.where == "forward, input other"
    assert words in found.found


@pytest.mark.parametrize(
    "function",
    [
        lambda m, x, other: x + m.alpha * other,
        lambda _, x, other: x + F.relu(other - 100.0),
        lambda _, x, other: x * (other.sum() > 1e9).float(),
        lambda _, x, other: x if other.sum() > 1e9 else x.relu() + other.detach(),
        lambda _, x, other: x.relu() if (other * 2).sum() > 1e9 else x,
        lambda _, x, other: x[[row for row in range(4) if other.abs().tolist()[row][0] < 1e9]],
        lambda _, x, other: jvp(lambda z: z * other.gt(1e9), (x,), (x,))[1],
        lambda _, x, other: x + x.new_zeros(other.shape),
        lambda _, x, other: x.to(other.dtype),
    ],
)
def test_an_input_that_reaches_the_answer_passes(function):
    """Also behind a gate at zero, below a threshold, or by its shape and dtype alone."""
    assert result(Two(function), X, Y).outcome == "passed"


def test_what_is_optional_or_not_named_is_not_judged():
    """Defaults, further arguments, entries of a dict, lookups by shape."""
    mask = torch.ones(4, 3, dtype=torch.bool)
    assert result(Optional(), X, mask, Y).outcome == "passed"
    assert result(Lookup(), X[None]).outcome == "passed"
    assert result(Batch(), {"x": X, "id": torch.arange(4)}).outcome == "skipped"
    assert result(MaskedWhenNeeded(), X, mask).outcome == "passed"
    assert result(LabelsInTraining(), X, torch.tensor([0, 2, 1, 1])).outcome == "passed"


def test_losses_at_degenerate_points_pass():
    """No margin is violated, all targets are equal."""
    assert result(nn.HingeEmbeddingLoss(), 5 + X.abs(), -torch.ones(4, 3)).outcome == "passed"
    assert result(nn.CrossEntropyLoss(), X, torch.zeros(4, dtype=torch.long)).outcome == "passed"
    assert result(nn.MSELoss(), X, X.clone()).outcome == "passed"
    assert result(nn.TripletMarginLoss(), X, X.clone(), X + 100).outcome == "passed"
    assert result(nn.Dropout(1.0).eval(), X).outcome == "passed"
