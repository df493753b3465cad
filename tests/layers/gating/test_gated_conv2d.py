"""GatedConv2d against two convolutions of torch, one of them the gate."""

import copy
import pickle

import pytest
import torch
from torch.autograd import gradcheck
from torch.nn import functional as F

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.gating.gated_conv2d import GatedConv2d


@pytest.mark.parametrize(
    ("stride", "padding", "bias"), [(1, 1, True), (2, 0, False), ((1, 2), "valid", True)]
)
@pytest.mark.parametrize("batch", [(), (0,), (3,)])
def test_agrees_with_two_convolutions(stride, padding, bias, batch):
    """The values come from the upper half of the weight, the gate from the lower one."""
    layer = GatedConv2d(2, 3, (3, 2), stride, padding, bias=bias, dtype=torch.float64)
    x = torch.randn(*batch, 2, 7, 6, dtype=torch.float64)
    weight = layer.convolution.weight
    biases = (None, None) if layer.convolution.bias is None else layer.convolution.bias.split(3)
    value, gate = (
        F.conv2d(x, part, offset, stride, padding)
        for part, offset in zip(weight.split(3), biases, strict=True)
    )
    torch.testing.assert_close(layer(x), value / (1 + torch.exp(-gate)))


def test_derivatives_pass_finite_differences():
    """Gradients of input and parameters agree with finite differences."""
    layer = GatedConv2d(2, 2, 2, dtype=torch.float64)
    names, parameters = zip(*layer.named_parameters(), strict=True)
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(
        lambda x, *tensors: torch.func.functional_call(
            layer, dict(zip(names, tensors, strict=True)), x
        ),
        (x, *parameters),
    )


def test_state_survives():
    """A state dict, a deep copy and a pickle give the same answers; a reset does not."""
    layer, other, x = GatedConv2d(2, 3, 3), GatedConv2d(2, 3, 3), torch.randn(2, 2, 5, 5)
    other.load_state_dict(layer.state_dict())
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
    other.reset_parameters()
    for ours, new in zip(layer.parameters(), other.parameters(), strict=True):
        assert not torch.equal(ours, new)


def test_device_and_dtype_reach_everything():
    """Parameters are made where and as they are wanted."""
    layer = GatedConv2d(2, 3, 3, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.bfloat16)}


def test_what_does_not_fit_is_refused():
    """The convolution inside says what was expected."""
    with pytest.raises(OptionError, match="kernel_size to be a whole number from 1"):
        GatedConv2d(2, 3, 0)
    with pytest.raises(ShapeError, match=r"expected an input of shape \(N, 2, H, W\)"):
        GatedConv2d(2, 3, 3)(torch.zeros(1, 3, 5, 5))
