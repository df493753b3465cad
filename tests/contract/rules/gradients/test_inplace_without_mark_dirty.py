"""GRD007 inplace-without-mark-dirty."""

import pytest
import torch
from torch import nn

from layerwright.contract.check import check


def found(layer, *inputs):
    """Return the findings of this rule."""
    report = check(layer, *inputs, select=["GRD007"])
    assert report.results[0].outcome != "error", report.results[0].reason
    return report.findings


def function_of(forward, backward, name="Formula"):
    """Return a Function made of two functions."""
    members = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type(name, (torch.autograd.Function,), members)


torch.manual_seed(0)
X = torch.randn(4, 6)


def after_linear(function):
    """Return a layer that applies a Function to a result of its own."""

    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 6)
            self.register_buffer("count", torch.zeros(6))

        def forward(self, x):
            return function.apply(self.linear(x), self.count)

    return Layer()


def positive(ctx, x, count):
    x.clamp_(min=0)
    count.add_(1)
    ctx.save_for_backward(x > 0)
    return x + 0


def marked(ctx, x, count):
    ctx.mark_dirty(x)
    positive(ctx, x, count)
    return x


def masked(ctx, grad_output):
    return grad_output * ctx.saved_tensors[0], None


def test_a_write_without_a_mark():
    """The caller's tensor changes under its old graph."""
    (finding,) = found(after_linear(function_of(positive, masked)), X)
    assert finding.severity == "error"
    assert "argument x" in finding.where
    assert "values differ" in finding.found


def test_a_write_by_index():
    """Slices write as well."""

    def forward(ctx, x, count):
        x[:, 0] = 0
        return 1 * x

    def backward(ctx, grad_output):
        grad_output = grad_output.clone()
        grad_output[:, 0] = 0
        return grad_output, None

    assert len(found(after_linear(function_of(forward, backward)), X)) == 1


@pytest.mark.parametrize("forward", [marked, lambda ctx, x, count: positive(ctx, x.clone(), count)])
def test_marked_writes_and_statistics_pass(forward):
    """A buffer wants no gradient, so that it may be written."""
    assert not found(after_linear(function_of(forward, masked)), X)
