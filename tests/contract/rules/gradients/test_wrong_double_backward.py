"""GRD002 wrong-double-backward."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return the findings of this rule."""
    report = check(layer, *inputs, select=["GRD002"])
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


def saving(forward):
    """Return a forward that saves all its arguments."""

    def saved(ctx, *args):
        ctx.save_for_backward(*args)
        return forward(*args)

    return saved


torch.manual_seed(0)
X = torch.randn(4, 6)


def test_an_intermediate_result_is_reported():
    """It carries no graph, so that the second derivative lacks a term."""

    def forward(ctx, x):
        scale = (x.square().mean(-1, keepdim=True) + 1e-6).rsqrt()
        ctx.save_for_backward(x, scale)
        return x * scale

    def backward(ctx, grad_output):
        x, scale = ctx.saved_tensors
        return scale * grad_output - scale**3 * x * (grad_output * x).mean(-1, keepdim=True)

    (finding,) = found(applied(function_of(forward, backward)), X)
    assert finding.severity == "warning"
    assert "slope" in finding.expected


def test_a_backward_outside_of_the_graph_is_reported():
    """Detached values, a numpy round trip: the second derivative is zero."""
    function = function_of(
        saving(torch.sin), lambda ctx, g: g * ctx.saved_tensors[0].detach().cos()
    )
    (finding,) = found(applied(function), X)
    assert finding.found.startswith("0,")


def test_a_declared_first_order_formula_passes():
    """once_differentiable raises, which is an answer."""
    once = torch.autograd.function.once_differentiable
    function = function_of(
        saving(torch.sin), once(lambda ctx, g: g * ctx.saved_tensors[0].detach().cos())
    )
    assert not found(applied(function), X)


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (saving(torch.sin), lambda ctx, g: g * ctx.saved_tensors[0].cos()),
        (
            saving(lambda x: x.clamp(min=0)),
            lambda ctx, g: g * (ctx.saved_tensors[0] > 0),
        ),
        (lambda ctx, x: 2 * x, lambda ctx, g: 2 * g),
        (lambda ctx, x: x.round(), lambda ctx, g: g),
    ],
    ids=["sin", "relu", "linear", "straight-through"],
)
def test_right_formulas_pass(forward, backward):
    """Whatever they save."""
    assert not found(applied(function_of(forward, backward)), X)
