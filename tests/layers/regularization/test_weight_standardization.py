"""WeightStandardization: the formula, and its life as a parametrization."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.utils import parametrize

from layerwright.errors import OptionError, ShapeError
from layerwright.initialization.structure import places, role_of
from layerwright.layers.convolution.conv2d import Conv2d
from layerwright.layers.regularization.weight_standardization import (
    WeightStandardization,
    standardize_weight,
)

# torch's own doing: what its compiler uses inside is deprecated
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


@settings(deadline=None, max_examples=30)
@given(
    outputs=st.integers(0, 3),
    inputs=st.integers(2, 4),
    kernel=st.lists(st.integers(1, 3), max_size=3),
)
def test_formula(outputs, inputs, kernel):
    """The weights of each output, taken number by number."""
    weight = torch.randn(outputs, inputs, *kernel, dtype=torch.float64)
    result = WeightStandardization(0.1)(weight)
    assert result.shape == weight.shape
    for row, got in zip(weight, result, strict=True):
        values = row.flatten().tolist()
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / len(values)
        wanted = [(value - mean) / math.sqrt(variance + 0.1) for value in values]
        torch.testing.assert_close(got.flatten(), torch.tensor(wanted, dtype=torch.float64))


def test_derivatives_pass_finite_differences():
    """First and second derivatives agree with finite differences."""
    weight = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(WeightStandardization(), weight)
    assert gradgradcheck(WeightStandardization(), weight)


@COMPILER
@pytest.mark.parametrize("kind", [Conv2d, nn.Conv2d])
def test_a_layer_uses_the_standardised_weight(kind, tmp_path):
    """Through training, saving, loading, copying and removing."""
    layer = standardize_weight(kind(3, 4, 3), eps=1e-10)
    x = torch.randn(2, 3, 5, 5)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    layer(x).square().sum().backward()
    optimizer.step()
    rows = layer.weight.detach().flatten(1)
    torch.testing.assert_close(rows.mean(1), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(rows.var(1, unbiased=False), torch.ones(4))
    assert set(layer.state_dict()) == {"bias", "parametrizations.weight.original"}
    torch.save(layer.state_dict(), tmp_path / "state.pt")
    fresh = standardize_weight(kind(3, 4, 3), eps=1e-10)
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    y = layer(x)
    assert torch.equal(fresh(x), y)
    assert torch.equal(copy.deepcopy(layer)(x), y)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(layer, backend="aot_eager")(x), y)
    parametrize.remove_parametrizations(layer, "weight")
    assert isinstance(layer.weight, nn.Parameter)
    assert torch.equal(layer(x), y)


def test_an_assigned_weight_is_what_is_learned():
    """Assigning goes to the learned tensor; its role stays that of a weight."""
    layer = standardize_weight(nn.Linear(3, 2))
    given = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 6.0]])
    layer.weight = given
    assert torch.equal(layer.parametrizations.weight.original, given)
    torch.testing.assert_close(layer.weight, WeightStandardization()(given))
    roles = {place.name: role_of(place) for place in places(layer)}
    assert roles == {"bias": "bias", "parametrizations.weight.original": "weight"}


def test_bfloat16_is_kept():
    """The type stays, the numbers are near."""
    weight = torch.randn(3, 8)
    result = WeightStandardization()(weight.bfloat16())
    assert result.dtype == torch.bfloat16
    torch.testing.assert_close(
        result.float(), WeightStandardization()(weight), atol=0.05, rtol=0.05
    )


def test_impossible_requests_are_refused():
    """The message names what fits and what was received."""
    with pytest.raises(OptionError) as caught:
        WeightStandardization(0)
    assert str(caught.value) == (
        "WeightStandardization expected eps to be a positive number, received 0."
    )
    with pytest.raises(OptionError) as caught:
        standardize_weight(nn.Linear(2, 3), "weights")
    assert str(caught.value) == (
        "standardize_weight expected the name of a parameter of Linear, received 'weights'. "
        "Its own parameters: weight, bias."
    )
    layer = nn.Linear(2, 3)
    with pytest.raises(ShapeError) as caught:
        standardize_weight(layer, "bias")
    assert str(caught.value) == (
        "WeightStandardization expected a weight (out, in, ...) with at least two weights for "
        "each output, received (3,). Fix: leave this parameter as it is."
    )
    assert not parametrize.is_parametrized(layer)
    with pytest.raises(ShapeError):
        standardize_weight(nn.Conv2d(4, 4, 1, groups=4))
