"""GRD006 tensor-on-ctx."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return the findings of this rule."""
    report = check(layer, *inputs, select=["GRD006"])
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


def test_an_output_on_ctx_is_a_leak():
    """Output, node, ctx, output: a cycle."""

    def forward(ctx, x):
        ctx.kept = {"y": x.exp()}
        return ctx.kept["y"]

    (finding,) = found(applied(function_of(forward, lambda ctx, g: g * ctx.kept["y"])), X)
    assert finding.severity == "error"
    assert "ctx.kept['y']" in finding.where


def test_an_argument_on_ctx_gives_wrong_gradients_after_a_write():
    """save_for_backward would have raised."""

    def forward(ctx, x, weight):
        ctx.x, ctx.weight = x, weight
        return x * weight

    def backward(ctx, grad_output):
        return grad_output * ctx.weight, (grad_output * ctx.x).sum(0)

    findings = found(applied(function_of(forward, backward), nn.Parameter(torch.rand(6))), X)
    assert {finding.severity for finding in findings} == {"warning"}
    assert {finding.where.split()[0] for finding in findings} == {"ctx.x", "ctx.weight"}


def masked(ctx, x):
    ctx.mask, ctx.shape, ctx.scale = x > 0, x.shape, 2.0
    return x * ctx.mask * 2


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (saving(torch.sin), lambda ctx, g: g * ctx.saved_tensors[0].cos()),
        (masked, lambda ctx, g: g * ctx.mask * ctx.scale),
    ],
)
def test_masks_and_numbers_on_ctx_pass(forward, backward):
    """They are neither arguments nor outputs."""
    assert not found(applied(function_of(forward, backward)), X)
