"""ReLU where it is not smooth."""

import torch

from layerwright.layers.activation.relu import ReLU


def test_gradient_at_the_kink_is_zero():
    """At 0, at -0 and below the gradient is 0; at the smallest positive number it is 1."""
    tiny = torch.finfo(torch.float32).tiny
    x = torch.tensor([-1.0, -tiny, -0.0, 0.0, tiny, 1.0], requires_grad=True)
    ReLU()(x).sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 0, 1, 1]


def test_nan_and_infinity_pass_through():
    """NaN stays visible in the output, and infinite values are kept or cut like others."""
    x = torch.tensor([float("nan"), float("inf"), float("-inf")], requires_grad=True)
    y = ReLU()(x)
    assert y[0].isnan()
    assert y[1:].tolist() == [float("inf"), 0]


def test_nan_gradient_is_seen_where_it_counts():
    """A NaN gradient reaches an active input and is cut at an inactive one, as in torch."""
    x = torch.tensor([2.0, -2.0], requires_grad=True)
    ReLU()(x).backward(torch.full((2,), float("nan")))
    assert x.grad[0].isnan()
    assert x.grad[1] == 0


def test_second_derivative_is_zero():
    """The slope is constant on both sides; the gradient's gradient reaches the upstream only."""
    x = torch.tensor([-1.0, 3.0], requires_grad=True)
    upstream = torch.tensor([5.0, 7.0], requires_grad=True)
    (first,) = torch.autograd.grad(ReLU()(x), x, upstream, create_graph=True)
    by_upstream, by_x = torch.autograd.grad(first.sum(), (upstream, x))
    assert by_upstream.tolist() == [0, 1]
    assert by_x.tolist() == [0, 0]


def test_whole_numbers_are_rectified():
    """Integer tensors work, as they do in torch."""
    assert ReLU()(torch.tensor([-3, 0, 4])).tolist() == [0, 0, 4]
