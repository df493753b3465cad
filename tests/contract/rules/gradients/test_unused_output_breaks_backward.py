"""GRD011 unused-output-breaks-backward."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return the findings of this rule."""
    report = check(layer, *inputs, select=["GRD011"])
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


def both(ctx, x):
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x)
    return x.sin(), x.cos()


def plain(ctx, x):
    ctx.save_for_backward(x)
    return x.sin(), x.cos()


def product(ctx, grad_sin, grad_cos):
    (x,) = ctx.saved_tensors
    return grad_sin * x.cos() - grad_cos * x.sin()


def forgetful(ctx, grad_sin, grad_cos):
    if grad_sin is None or grad_cos is None:
        return torch.zeros_like(ctx.saved_tensors[0])
    return product(ctx, grad_sin, grad_cos)


def careful(ctx, grad_sin, grad_cos):
    (x,) = ctx.saved_tensors
    gradient = torch.zeros_like(x)
    if grad_sin is not None:
        gradient = gradient + grad_sin * x.cos()
    return gradient if grad_cos is None else gradient - grad_cos * x.sin()


def test_none_that_is_multiplied():
    """The first loss that drops an output raises."""
    (finding,) = found(applied(function_of(both, product)), X)
    assert finding.severity == "error"
    assert "NoneType" in finding.found


def test_none_that_ends_everything():
    """Zeros instead of the gradient of the other output."""
    (finding,) = found(applied(function_of(both, forgetful)), X)
    assert "values differ" in finding.found


@pytest.mark.parametrize(("forward", "backward"), [(plain, product), (both, careful)])
def test_zeros_and_tests_for_none_pass(forward, backward):
    """Either way is right."""
    assert not found(applied(function_of(forward, backward)), X)
