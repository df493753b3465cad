"""GRD004 gradient-overwritten."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return the findings of this rule."""
    report = check(layer, *inputs, select=["GRD004"])
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


def test_a_gradient_written_in_place():
    """The residual branch beside it would get the masked gradient."""

    def backward(ctx, grad_output):
        grad_output[ctx.saved_tensors[0] < 0] = 0
        return grad_output

    (finding,) = found(applied(function_of(saving(lambda x: x.clamp(min=0)), backward)), X)
    assert finding.severity == "error"
    assert "grad_output" in finding.where
    assert "values differ" in finding.found


def test_a_saved_argument_written_in_place():
    """Whoever else saved it computes with other values."""

    def backward(ctx, grad_output):
        return grad_output * ctx.saved_tensors[0].detach().cos_()

    (finding,) = found(applied(function_of(saving(torch.sin), backward)), X)
    assert "argument" in finding.where


@pytest.mark.parametrize(
    "backward",
    [
        lambda ctx, g: g.clone().mul_(ctx.saved_tensors[0].cos()),
        lambda ctx, g: ctx.saved_tensors[0].cos().mul_(g),
    ],
)
def test_writes_into_copies_pass(backward):
    """A clone, or a result of backward's own."""
    assert not found(applied(function_of(saving(torch.sin), backward)), X)
