"""TRN002: gradients that are zero for ever, told from those that are zero now."""

import pytest
import torch
from torch import nn

from layerwright.contract.case import Case
from layerwright.contract.check import check

X = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))


class Apply(nn.Module):
    def __init__(self, function, out_features=4):
        super().__init__()
        self.fc = nn.Linear(5, out_features)
        self.function = function

    def forward(self, x):
        return self.function(self.fc(x))


class LowRank(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Parameter(torch.randn(2, 5))
        self.up = nn.Parameter(torch.zeros(5, 2))

    def forward(self, x):
        return x + x @ self.down.T @ self.up.T


class Pooled(nn.Module):
    """Weighs the steps of a sequence."""

    def __init__(self, features=5, *, bias=False):
        super().__init__()
        self.score = nn.Linear(features, 1, bias=bias)

    def forward(self, x):
        return (self.score(x).softmax(1) * x).sum(1)


class KeptInGraph(nn.Module):
    """Adds nothing of an unused parameter, so that DistributedDataParallel finds a gradient."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 4)
        self.spare = nn.Linear(5, 4)

    def forward(self, x):
        return self.fc(x) + 0.0 * self.spare(x)


def found(layer, *inputs):
    """Return the findings of this rule alone."""
    report = check(layer, *inputs, select=["TRN002"])
    assert report.counts["error"] == 0, report.results
    return report.findings


@pytest.mark.parametrize(
    ("layer", "operator"),
    [
        (Apply(torch.round), "Round"),
        (Apply(torch.sign), "Sign"),
        (Apply(torch.floor), "Floor"),
        (Apply(lambda x: x.softmax(-1), out_features=1), "Softmax"),
        (nn.Sequential(nn.Linear(5, 5), Apply(torch.sign)), "Sign"),
    ],
)
def test_an_operator_without_slope_is_named(layer, operator):
    """All parameters in front of it are reported."""
    findings = found(layer, X)
    assert len(findings) == len(list(layer.parameters()))
    assert {item.severity for item in findings} == {"warning"}
    assert all(operator in item.found for item in findings)


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (LowRank(), (X,)),
        (KeptInGraph(), (X,)),
        (Apply(lambda x: x + (x.round() - x).detach()), (X,)),
        (Apply(lambda x: torch.relu(x - 100.0)), (X,)),
        (Apply(lambda x: x.softmax(-1)), (X,)),
        (Pooled(), (X[:, None],)),  # a sequence of one step
        (nn.GRUCell(5, 3), (X,)),
        (nn.RNN(5, 3), (X[None],)),
        (nn.Linear(5, 3), (torch.zeros(2, 5),)),
        (nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4)), (X,)),
    ],
)
def test_zero_starts_and_zero_states_pass(layer, inputs):
    """The gradient comes with other values, or nothing but a zero stands in its way."""
    assert found(layer, *inputs) == ()


def test_a_bias_that_a_softmax_cancels_is_never_blamed_on_one_step():
    """Its gradients add up to zero or to a rounding error: no verdict may hang on which."""
    for features in (1, 2, 2, 2, 2, 5):
        assert found(Pooled(features, bias=True), torch.randn(2, 1, features)) == ()


class StopFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_non_differentiable()
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return torch.zeros_like(grad)


def test_a_function_that_sends_zeros_says_so_itself():
    """Its author wrote the backward; the gradient rules judge it."""
    assert found(Apply(StopFunction.apply), X) == ()


def test_what_traits_name_is_not_judged():
    """Where the author says so."""
    layer = Apply(torch.round)
    assert check(layer, X, select=["TRN002"]).results[0].outcome == "failed"
    case = Case(layer, X, traits={"unused_parameters": "fc.*"})
    assert check(case, select=["TRN002"]).results[0].outcome == "passed"
