"""What surrounds an image: how much on which side, and when it suffices."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from layerwright.layers.convolution.padding import pad, sides, smallest_map

pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
paddings = st.one_of(
    st.sampled_from(["same", "valid"]), st.tuples(st.integers(0, 3), st.integers(0, 3))
)
modes = st.sampled_from(["zeros", "reflect", "replicate", "circular"])


@pytest.mark.parametrize(
    ("padding", "kernel_size", "dilation", "expected"),
    [
        ((1, 2), (3, 3), (1, 1), ((1, 2), (1, 2))),
        ("valid", (5, 3), (2, 1), ((0, 0), (0, 0))),
        ("same", (5, 3), (1, 1), ((2, 1), (2, 1))),
        ("same", (2, 4), (1, 1), ((0, 1), (1, 2))),
        ("same", (2, 1), (3, 9), ((1, 0), (2, 0))),
    ],
    ids=str,
)
def test_sides(padding, kernel_size, dilation, expected):
    """An odd amount leaves the larger part to the bottom and the right."""
    assert sides(padding, kernel_size, dilation) == expected


@settings(deadline=None, max_examples=40)
@given(padding=paddings, mode=modes, kernel=pairs, dilation=pairs)
def test_smallest_map_is_just_large_enough(padding, mode, kernel, dilation):
    """The kernel finds a place on the smallest map; torch refuses any that is smaller."""

    def places(size):
        image, rest = pad(torch.zeros(1, 1, *size), padding, mode, kernel, dilation)
        weight = torch.zeros(1, 1, *kernel)
        return F.conv2d(image, weight, padding=rest, dilation=dilation).shape[2:]

    height, width = smallest_map(padding, mode, kernel, dilation)
    assert min(places((height, width))) >= 1
    for smaller in ((height - 1, width), (height, width - 1)):
        with pytest.raises(RuntimeError):
            places(smaller)


@settings(deadline=None, max_examples=20)
@given(kernel=pairs, dilation=pairs, size=st.tuples(st.integers(1, 6), st.integers(1, 6)))
def test_same_keeps_the_size(kernel, dilation, size):
    """With padding "same" the output map has the input's height and width."""
    image, rest = pad(torch.zeros(1, 1, *size), "same", "zeros", kernel, dilation)
    output = F.conv2d(image, torch.zeros(1, 1, *kernel), padding=rest, dilation=dilation)
    assert output.shape[2:] == size
