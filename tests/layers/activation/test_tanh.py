"""Tanh at its ends and in the complex plane."""

import torch
from torch.autograd import gradcheck

from layerwright.layers.activation.tanh import Tanh


def test_saturates_without_nan():
    """Far out the value is -1 or 1 and the gradient 0, never NaN."""
    x = torch.tensor([-1000.0, 1000.0, float("-inf"), float("inf")], requires_grad=True)
    y = Tanh()(x)
    y.sum().backward()
    assert y.tolist() == [-1, 1, -1, 1]
    assert x.grad.tolist() == [0, 0, 0, 0]


def test_nan_passes_through():
    """NaN stays visible, in the output and in the gradient."""
    x = torch.tensor([float("nan")], requires_grad=True)
    y = Tanh()(x)
    y.backward(torch.ones(1))
    assert y.isnan().all()
    assert x.grad.isnan().all()


def test_complex_gradient_is_conjugated():
    """For complex numbers the gradient follows torch's convention."""
    x = torch.randn(4, dtype=torch.complex128, requires_grad=True)
    assert gradcheck(Tanh(), x)
