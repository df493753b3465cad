"""Sigmoid at its ends and in the complex plane."""

import torch
from torch.autograd import gradcheck

from layerwright.layers.activation.sigmoid import Sigmoid


def test_saturates_without_nan():
    """Far out the value is 0 or 1 and the gradient 0, never NaN."""
    x = torch.tensor([-1000.0, 1000.0, float("-inf"), float("inf")], requires_grad=True)
    y = Sigmoid()(x)
    y.sum().backward()
    assert y.tolist() == [0, 1, 0, 1]
    assert x.grad.tolist() == [0, 0, 0, 0]


def test_nan_passes_through():
    """NaN stays visible, in the output and in the gradient."""
    x = torch.tensor([float("nan")], requires_grad=True)
    y = Sigmoid()(x)
    y.backward(torch.ones(1))
    assert y.isnan().all()
    assert x.grad.isnan().all()


def test_complex_gradient_is_conjugated():
    """For complex numbers the gradient follows torch's convention."""
    x = torch.randn(4, dtype=torch.complex128, requires_grad=True)
    assert gradcheck(Sigmoid(), x)


def test_whole_numbers_become_floating_point():
    """Integers are taken as numbers of the default dtype."""
    y = Sigmoid()(torch.tensor([0]))
    assert y.dtype == torch.get_default_dtype()
    assert y.item() == 0.5
