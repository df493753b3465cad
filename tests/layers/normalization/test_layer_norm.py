"""LayerNorm against its formula, written out number by number."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwright.errors import OptionError, ShapeError
from layerwright.initialization.structure import places, role_of
from layerwright.layers.normalization.layer_norm import LayerNorm


def normalized_number_by_number(values, weight, bias, eps):
    """The formula for one position, a list of numbers."""
    mean = sum(values) / len(values)
    variance = sum((value - mean) ** 2 for value in values) / len(values)
    return [
        g * (value - mean) / math.sqrt(variance + eps) + b
        for value, g, b in zip(values, weight, bias, strict=True)
    ]


@settings(deadline=None, max_examples=40)
@given(
    before=st.lists(st.integers(0, 3), max_size=3),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=2),
    eps=st.sampled_from([1e-5, 0.3]),
    recorded=st.booleans(),
)
def test_formula(before, shape, eps, recorded):
    """Any dims before, one or two that are normalised: the formula at each position."""
    layer = LayerNorm(shape, eps=eps, dtype=torch.float64)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(*before, *shape, dtype=torch.float64, requires_grad=recorded)
    y = layer(x)
    assert y.shape == x.shape
    weight, bias = layer.weight.flatten().tolist(), layer.bias.flatten().tolist()
    size = math.prod(shape)
    for row, got in zip(x.reshape(-1, size), y.reshape(-1, size), strict=True):
        wanted = normalized_number_by_number(row.tolist(), weight, bias, eps)
        torch.testing.assert_close(got, torch.tensor(wanted, dtype=torch.float64))


def test_gain_and_bias_are_no_weights_whatever_their_shape():
    """Weight decay leaves them alone, with two dims too, where a gain looks like a matrix."""
    roles = {place.name: role_of(place) for place in places(LayerNorm((3, 4)))}
    assert roles == {"weight": "gain", "bias": "bias"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"normalized_shape": (3, 0)},
            (
                "LayerNorm expected normalized_shape to be one or more whole numbers from 1, "
                "received (3, 0)."
            ),
        ),
        (
            {"normalized_shape": ()},
            (
                "LayerNorm expected normalized_shape to be one or more whole numbers from 1, "
                "received ()."
            ),
        ),
        (
            {"normalized_shape": 3, "eps": 0},
            "LayerNorm expected eps to be a positive number, received 0.",
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        LayerNorm(**options)
    assert str(caught.value) == text


@pytest.mark.parametrize("shape", [(2, 5), (4,), ()])
def test_inputs_that_do_not_fit_are_refused(shape):
    """The message names the shape that fits, the one received and the ways out."""
    with pytest.raises(ShapeError) as caught:
        LayerNorm((3, 4))(torch.zeros(shape))
    assert str(caught.value) == (
        f"LayerNorm expected an input of shape (..., 3, 4), received {shape}. "
        "Fix: make the last dims 3, 4, or change normalized_shape."
    )


def test_repr_shows_the_options():
    """Printing shows shape, eps and what is learned."""
    assert repr(LayerNorm(3, bias=False)) == (
        "LayerNorm((3,), eps=1e-05, elementwise_affine=True, bias=False)"
    )
