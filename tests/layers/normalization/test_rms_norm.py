"""RMSNorm against its formula, written out number by number."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from layerwright.errors import OptionError, ShapeError
from layerwright.initialization.structure import places, role_of
from layerwright.layers.normalization.rms_norm import RMSNorm


@settings(deadline=None, max_examples=40)
@given(
    before=st.lists(st.integers(0, 3), max_size=3),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=2),
    eps=st.sampled_from([None, 0.3]),
    recorded=st.booleans(),
)
def test_formula(before, shape, eps, recorded):
    """Any dims before, one or two that are normalised: the formula at each position."""
    layer = RMSNorm(shape, eps=eps, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight)
    x = torch.randn(*before, *shape, dtype=torch.float64, requires_grad=recorded)
    y = layer(x)
    assert y.shape == x.shape
    weight, size = layer.weight.flatten().tolist(), math.prod(shape)
    added = 2.0**-52 if eps is None else eps
    for row, got in zip(x.reshape(-1, size), y.reshape(-1, size), strict=True):
        root = math.sqrt(sum(value**2 for value in row.tolist()) / size + added)
        wanted = [g * value / root for value, g in zip(row.tolist(), weight, strict=True)]
        torch.testing.assert_close(got, torch.tensor(wanted, dtype=torch.float64))


@pytest.mark.parametrize(
    ("dtype", "eps"),
    [(torch.float64, 2.0**-52), (torch.float32, 2.0**-23), (torch.bfloat16, 2.0**-23)],
    ids=str,
)
def test_default_eps_is_that_of_the_type_computed_in(dtype, eps):
    """A row whose mean square is eps is divided by the root of twice that."""
    x = torch.full((4,), math.sqrt(eps), dtype=dtype)
    y = RMSNorm(4, dtype=dtype)(x)
    assert y.double().tolist() == pytest.approx([math.sqrt(0.5)] * 4, rel=0.01)


def test_gain_is_no_weight_whatever_its_shape():
    """Weight decay leaves it alone, with two dims too, where it looks like a matrix."""
    assert [role_of(place) for place in places(RMSNorm((3, 4)))] == ["gain"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"normalized_shape": 2.5},
            (
                "RMSNorm expected normalized_shape to be one or more whole numbers from 1, "
                "received 2.5."
            ),
        ),
        (
            {"normalized_shape": 3, "eps": -1.0},
            "RMSNorm expected eps to be a positive number or None, received -1.0.",
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        RMSNorm(**options)
    assert str(caught.value) == text


def test_inputs_that_do_not_fit_are_refused():
    """The message names the shape that fits, the one received and the ways out."""
    with pytest.raises(ShapeError) as caught:
        RMSNorm(3)(torch.zeros(2, 5))
    assert str(caught.value) == (
        "RMSNorm expected an input of shape (..., 3), received (2, 5). "
        "Fix: make the last dims 3, or change normalized_shape."
    )


def test_repr_shows_the_options():
    """Printing shows shape, eps and whether a gain is learned."""
    assert repr(RMSNorm((2, 3))) == "RMSNorm((2, 3), eps=None, elementwise_affine=True)"
