"""GRD010 backward-fails."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return the findings of this rule."""
    report = check(layer, *inputs, select=["GRD010"])
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


def layer_of(forward):
    """Return a layer without state."""
    return type("Layer", (nn.Module,), {"forward": lambda self, x: forward(x)})()


def gated(x):
    gate = torch.sigmoid(x)
    gate += 1
    return x * gate


def test_a_write_after_use():
    """Autograd notices, in backward."""
    (finding,) = found(layer_of(gated), X)
    assert finding.severity == "error"
    assert "inplace operation" in finding.found
    assert "out-of-place" in finding.fix


def test_a_gradient_in_a_wrong_shape():
    """The shape of the transpose."""

    def backward(ctx, grad_output):
        x, weight = ctx.saved_tensors
        return grad_output @ weight, x.T @ grad_output

    function = function_of(saving(lambda x, weight: x @ weight.T), backward)
    (finding,) = found(applied(function, nn.Parameter(torch.randn(5, 6))), X)
    assert "invalid gradient" in finding.found


def raises(ctx, grad_output):
    raise NotImplementedError("for inference only")


def test_a_refusal_by_the_author_is_no_fault():
    """A raise says what it means."""
    assert not found(applied(function_of(lambda ctx, x: 2 * x, raises)), X)


@pytest.mark.parametrize(
    "forward",
    [torch.sigmoid, lambda x: x.argmax(-1), torch.no_grad()(torch.sigmoid), lambda x: x.detach()],
    ids=["sigmoid", "argmax", "no_grad", "detach"],
)
def test_layers_with_and_without_a_graph_pass(forward):
    """No graph, nothing to differentiate."""
    assert not found(layer_of(forward), X)


def test_targets_need_no_gradient():
    """Losses refuse gradients for their targets."""
    assert not found(nn.SoftMarginLoss(), X, X.sign())
