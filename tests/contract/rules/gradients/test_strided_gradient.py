"""GRD003 strided-gradient."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return the findings of this rule."""
    report = check(layer, *inputs, select=["GRD003"])
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


def test_a_view_of_the_gradient_raises():
    """As soon as the loss is a sum."""
    function = function_of(
        lambda ctx, x: 2 * x,
        lambda ctx, g: 2 * g.view(-1).view(g.shape),
    )
    (finding,) = found(applied(function), X)
    assert finding.severity == "error"
    assert "view size" in finding.found


def test_a_walk_through_plain_memory_gives_other_numbers():
    """Strides of the gradient ignored."""

    def backward(ctx, grad_output):
        memory = grad_output.untyped_storage()
        plain = torch.tensor([], dtype=grad_output.dtype).set_(memory)
        return (
            2 * plain[: grad_output.numel()].view(grad_output.shape).clone()
            if len(plain) >= grad_output.numel()
            else 2 * grad_output
        )

    (finding,) = found(applied(function_of(lambda ctx, x: 2 * x, backward)), X)
    assert "values differ" in finding.found


def test_saved_arguments_in_transposed_memory():
    """The strides of what forward saved matter as well."""

    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return grad_output * x.as_strided(x.shape, (x.shape[-1], 1)).cos()

    (finding,) = found(applied(function_of(saving(torch.sin), backward)), X)
    assert "transposed memory" in finding.expected


@pytest.mark.parametrize(
    "backward",
    [
        lambda ctx, g: 2 * g.contiguous().view(-1).view(g.shape),
        lambda ctx, g: 2 * g,
        lambda ctx, g: 2 * g + 0 * torch.rand_like(g),
    ],
)
def test_any_strides_pass(backward):
    """Copies into plain memory, and operators of torch."""
    assert not found(applied(function_of(lambda ctx, x: 2 * x, backward)), X)


def test_layers_of_torch_pass():
    """They bear any strides."""
    assert not found(nn.MultiheadAttention(6, 2), X, X, X)
