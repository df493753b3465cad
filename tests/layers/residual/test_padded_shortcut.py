"""PaddedShortcut against loops over nested lists."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.residual.padded_shortcut import PaddedShortcut


def thinned(maps, out_channels, stride):
    """One sample's answer from nested lists (C, H, W)."""
    kept = [[row[::stride] for row in rows[::stride]] for rows in maps]
    empty = [[0.0] * len(row) for row in kept[0]]
    return kept + [empty] * (out_channels - len(kept))


@settings(deadline=None, max_examples=30)
@given(
    samples=st.integers(0, 3),
    channels=st.integers(1, 3),
    more=st.integers(0, 3),
    stride=st.integers(1, 3),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
)
def test_agrees_with_loops(samples, channels, more, stride, height, width):
    """Maps of any size, with a batch and without."""
    layer = PaddedShortcut(channels, channels + more, stride)
    x = torch.randn(samples, channels, height, width)
    y = layer(x)
    assert y.shape == (samples, channels + more, -(-height // stride), -(-width // stride))
    for image, got in zip(x, y, strict=True):
        wanted = torch.tensor(thinned(image.tolist(), channels + more, stride))
        assert torch.equal(got, wanted)
        assert torch.equal(layer(image), wanted)


def test_derivatives_pass_finite_differences():
    """What is kept has gradient one, what is left out zero."""
    layer, x = PaddedShortcut(2, 3, 2), torch.randn(2, 2, 5, 4, dtype=torch.float64)
    assert gradcheck(layer, x.requires_grad_())


def test_it_is_traced_copied_and_keeps_type_and_layout():
    """A symbolic trace and copies give the same; dtype and memory format stay."""
    layer, x = PaddedShortcut(2, 4, 2), torch.randn(3, 2, 6, 6)
    for twin in (
        torch.fx.symbolic_trace(layer),
        copy.copy(layer),
        pickle.loads(pickle.dumps(layer)),
    ):
        assert torch.equal(twin(x), layer(x))
    half = x.bfloat16().to(memory_format=torch.channels_last)
    assert layer(half).dtype == torch.bfloat16
    assert repr(layer) == "PaddedShortcut(2, 4, stride=2)"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((0, 1), "in_channels to be a whole number from 1, received 0."),
        ((4, 2), "out_channels to be a whole number from 4, received 2."),
        ((4, 4, 0), "stride to be a whole number from 1, received 0."),
    ],
)
def test_impossible_options_are_refused(args, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        PaddedShortcut(*args)
    assert str(caught.value) == f"PaddedShortcut expected {text}"


@pytest.mark.parametrize("shape", [(2, 3, 4, 4), (2, 4), (1, 1, 2, 4, 4), (3, 4, 4)])
def test_inputs_that_do_not_fit_are_refused(shape):
    """Other channels, or no map."""
    with pytest.raises(ShapeError) as caught:
        PaddedShortcut(2, 4)(torch.zeros(shape))
    assert str(caught.value) == (
        f"PaddedShortcut expected (N, 2, H, W) or (2, H, W), received {shape}. "
        "Fix: build it with the channels of what comes in."
    )
