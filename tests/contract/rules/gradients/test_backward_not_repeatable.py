"""GRD005 backward-not-repeatable."""

import torch
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return the findings of this rule."""
    report = check(layer, *inputs, select=["GRD005"])
    assert report.results[0].outcome != "error", report.results[0].reason
    return report.findings


def applied(function, *parameters):
    """Return a layer that applies a Function to its input and to parameters."""

    class Applied(nn.Module):
        def __init__(self):
            super().__init__()
            self.weights = nn.ParameterList(parameters)

        def forward(self, x):
            return function.apply(x, *self.weights)

    return Applied()


def function_of(forward, backward, name="Formula"):
    """Return a Function made of two functions."""
    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(name, (torch.autograd.Function,), members)


torch.manual_seed(0)
X = torch.randn(4, 6)


def with_factors(ctx, x):
    ctx.factors = [2.0, 3.0]
    return 6 * x


def test_a_list_that_is_used_up():
    """The second pass multiplies by nothing."""

    def backward(ctx, grad_output):
        while ctx.factors:
            grad_output = grad_output * ctx.factors.pop()
        return grad_output

    (finding,) = found(applied(function_of(with_factors, backward)), X)
    assert finding.severity == "error"
    assert "values differ" in finding.found


def test_a_second_pass_that_raises_is_a_warning():
    """It is loud, so that nobody trains on wrong numbers."""

    def backward(ctx, grad_output):
        return grad_output * ctx.factors.pop() * ctx.factors.pop()

    (finding,) = found(applied(function_of(with_factors, backward)), X)
    assert finding.severity == "warning"
    assert "IndexError" in finding.found


def test_memory_freed_on_purpose_passes():
    """Reversible layers delete what they rebuilt from."""

    def backward(ctx, grad_output):
        first, second = ctx.factors
        del ctx.factors
        return grad_output * first * second

    assert not found(applied(function_of(with_factors, backward)), X)


def test_random_numbers_under_one_seed_pass():
    """Stochastic rounding of gradients draws the same again."""
    function = function_of(
        lambda ctx, x: x.clone(),
        lambda ctx, g: g + 1e-3 * torch.rand_like(g),
    )
    assert not found(applied(function), X)
