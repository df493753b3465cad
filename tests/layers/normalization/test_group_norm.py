"""GroupNorm against its formula, written out number by number."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.normalization.group_norm import GroupNorm


@settings(deadline=None, max_examples=40)
@given(
    batch=st.integers(0, 3),
    groups=st.integers(1, 3),
    per_group=st.integers(1, 3),
    positions=st.lists(st.integers(1, 3), max_size=3),
    recorded=st.booleans(),
)
def test_formula(batch, groups, per_group, positions, recorded):
    """Mean and variance are those of one sample's channels of one group, over all positions."""
    assume(per_group * math.prod(positions) > 1)
    channels = groups * per_group
    layer = GroupNorm(groups, channels, eps=0.01, dtype=torch.float64)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(batch, channels, *positions, dtype=torch.float64, requires_grad=recorded)
    y = layer(x)
    assert y.shape == x.shape
    for n in range(batch):
        for group in range(groups):
            members = range(group * per_group, (group + 1) * per_group)
            values = [value for c in members for value in x[n, c].flatten().tolist()]
            mean = sum(values) / len(values)
            variance = sum((value - mean) ** 2 for value in values) / len(values)
            for c in members:
                wanted = (x[n, c] - mean) / math.sqrt(variance + 0.01)
                torch.testing.assert_close(y[n, c], wanted * layer.weight[c] + layer.bias[c])


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((0, 4), "GroupNorm expected num_groups to be a whole number from 1, received 0."),
        ((2, 2.0), "GroupNorm expected num_channels to be a whole number from 1, received 2.0."),
        (
            (3, 4),
            (
                "GroupNorm expected num_groups to divide num_channels, "
                "received 3 groups for 4 channels."
            ),
        ),
        ((2, 4, 0.0), "GroupNorm expected eps to be a positive number, received 0.0."),
    ],
)
def test_impossible_options_are_refused(args, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        GroupNorm(*args)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (
            (2, 5, 4),
            (
                "GroupNorm expected (N, 4, ...), received (2, 5, 4). "
                "Fix: move channels to dim 1 or change num_channels."
            ),
        ),
        (
            (4,),
            (
                "GroupNorm expected (N, 4, ...), received (4,). "
                "Fix: move channels to dim 1 or change num_channels."
            ),
        ),
        (
            (8, 4, 1),
            (
                "GroupNorm expected at least two values in a group to take a variance from, "
                "received (8, 4, 1) for 4 groups. Fix: use fewer groups."
            ),
        ),
        (
            (8, 4, 0),
            (
                "GroupNorm expected at least two values in a group to take a variance from, "
                "received (8, 4, 0) for 4 groups. Fix: use fewer groups."
            ),
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(shape, text):
    """The message names what fits and the ways out."""
    with pytest.raises(ShapeError) as caught:
        GroupNorm(4, 4)(torch.zeros(shape))
    assert str(caught.value) == text


def test_repr_shows_the_options():
    """Printing shows groups, channels, eps and whether gain and bias are learned."""
    assert repr(GroupNorm(2, 4)) == "GroupNorm(2, 4, eps=1e-05, affine=True)"
