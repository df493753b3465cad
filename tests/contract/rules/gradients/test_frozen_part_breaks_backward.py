"""GRD013 frozen-part-breaks-backward."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return the findings of this rule."""
    report = check(layer, *inputs, select=["GRD013"])
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


def scaled(x, weight):
    return x * weight


def one_branch(ctx, grad_output):
    x, weight = ctx.saved_tensors
    if ctx.needs_input_grad[0]:
        grad_x, grad_weight = grad_output * weight, (grad_output * x).sum(0)
    return grad_x, grad_weight


def zero_without_x(ctx, grad_output):
    x, weight = ctx.saved_tensors
    seen = float(ctx.needs_input_grad[0])
    return grad_output * weight, seen * (grad_output * x).sum(0)


def branches(ctx, grad_output):
    x, weight = ctx.saved_tensors
    grad_x = grad_output * weight if ctx.needs_input_grad[0] else None
    grad_weight = (grad_output * x).sum(0) if ctx.needs_input_grad[1] else None
    return grad_x, grad_weight


@pytest.mark.parametrize(
    ("backward", "words"),
    [(one_branch, "UnboundLocalError"), (zero_without_x, "returns other gradients")],
)
def test_a_formula_that_needs_the_other_one(backward, words):
    """Freezing the input breaks the weight's gradient."""
    function = function_of(saving(scaled), backward)
    (finding,) = found(applied(function, nn.Parameter(torch.rand(6))), X)
    assert finding.severity == "error"
    assert words in finding.found
    assert "args[0]" in finding.expected


class Penalty(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 6)

    def forward(self, x):
        y = self.linear(x)
        if not self.training:
            return y
        (slope,) = torch.autograd.grad(y.square().mean(), self.linear.weight, create_graph=True)
        return y / (1 + slope.norm())


def test_a_layer_with_an_inner_gradient_passes():
    """Its forward needs its parameters in the graph, and says so by raising."""
    assert not found(Penalty(), X)


class Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, part, x, *parameters):
        ctx.part = part
        ctx.save_for_backward(x)
        return part(x)

    @staticmethod
    def backward(ctx, grad_output):
        x = ctx.saved_tensors[0].detach().requires_grad_()
        with torch.enable_grad():
            y = ctx.part(x)
        return (None, *torch.autograd.grad(y, [x, *ctx.part.parameters()], grad_output))


def test_a_checkpoint_that_cannot_be_frozen():
    """It asks for gradients that nobody wants."""

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Sequential(nn.Linear(6, 6), nn.Tanh())

        def forward(self, x):
            return Recomputed.apply(self.part, x, *self.part.parameters())

    (finding,) = found(Checkpointed(), X)
    assert finding.where == "parameters frozen"


@pytest.mark.parametrize(
    "layer",
    [
        applied(function_of(saving(scaled), branches), nn.Parameter(torch.rand(6))),
        nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.3)),
        nn.Sequential(nn.Linear(6, 6).requires_grad_(False), nn.Linear(6, 2)),
    ],
    ids=["branches", "sequential", "half frozen"],
)
def test_independent_gradients_pass(layer):
    """Each gradient in its own branch."""
    assert not found(layer, X)


class Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx, part, x, *parameters):
        ctx.part, ctx.count = part, len(parameters)
        ctx.save_for_backward(x, *parameters)
        return part(x)

    @staticmethod
    def backward(ctx, grad_output):
        x, *parameters = ctx.saved_tensors
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            y = torch.tanh(torch.nn.functional.linear(x, *parameters[: ctx.count]))
        if not parameters[0].requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
        return (None, *torch.autograd.grad(y, [x, *parameters], grad_output))


class Solved(nn.Module):
    """Hands the Function those parameters only that require gradients, or all of them."""

    def __init__(self, *, filtered):
        super().__init__()
        self.linear, self.filtered = nn.Linear(6, 6), filtered

    def part(self, x):
        return torch.tanh(self.linear(x))

    def forward(self, x):
        parameters = tuple(self.linear.parameters())
        if self.filtered and not all(item.requires_grad for item in parameters):
            return self.part(x)
        return Adjoint.apply(self.part, x, *parameters)


def test_a_function_that_is_never_given_frozen_parameters_passes():
    """The layer leaves them out before the call; the same Function without that is a fault."""
    assert not found(Solved(filtered=True), X)
    (finding,) = found(Solved(filtered=False), X)
    assert "does not require grad" in finding.found
