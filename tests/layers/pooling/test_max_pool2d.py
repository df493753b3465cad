"""MaxPool2d against plain loops and torch.nn."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, vmap

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.pooling.max_pool2d import MaxPool2d

COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def starts(size, span, stride, padding, *, ceil_mode):
    """Where windows start, in the padded dim; a last, cut-off one must start before the end."""
    most = (size + 2 * padding - span) / stride
    count = (math.ceil(most) if ceil_mode else math.floor(most)) + 1
    return [n * stride for n in range(count) if n * stride < size + padding]


def pooled_by_loops(x, kernel, stride, padding, dilation, *, ceil_mode):
    """The definition, value by value, on a (C, H, W) list of lists; also flat indices."""
    height, width = len(x[0]), len(x[0][0])
    span = [dilation[d] * (kernel[d] - 1) + 1 for d in (0, 1)]
    values, indices = [], []
    for plane in x:
        rows, places = [], []
        for top in starts(height, span[0], stride[0], padding[0], ceil_mode=ceil_mode):
            row, place = [], []
            for left in starts(width, span[1], stride[1], padding[1], ceil_mode=ceil_mode):
                inside = [
                    (plane[i][j], -(i * width + j))
                    for i in range(top - padding[0], top - padding[0] + span[0], dilation[0])
                    for j in range(left - padding[1], left - padding[1] + span[1], dilation[1])
                    if 0 <= i < height and 0 <= j < width
                ]
                best = max(inside)
                row.append(best[0])
                place.append(-best[1])
            rows.append(row)
            places.append(place)
        values.append(rows)
        indices.append(places)
    return torch.tensor(values, dtype=torch.float64), torch.tensor(indices)


pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    kernel=pairs,
    stride=pairs,
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    ceil_mode=st.booleans(),
)
def test_values_and_indices_follow_the_definition(
    size, kernel, stride, padding, dilation, ceil_mode
):
    """Every option combination gives what plain loops give, or is refused where it must be."""
    assume(all(padding[d] <= kernel[d] // 2 for d in (0, 1)))
    x = torch.randn(2, *size, dtype=torch.float64)
    layer = MaxPool2d(kernel, stride, padding, dilation, True, ceil_mode)
    fits = all(size[d] >= dilation[d] or not padding[d] for d in (0, 1))
    try:
        nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)(x)
    except RuntimeError:
        fits = False
    if not fits:
        with pytest.raises(ShapeError, match="MaxPool2d expected maps of at least"):
            layer(x)
        return
    options = (kernel, stride, padding, dilation)
    values, indices = pooled_by_loops(x.tolist(), *options, ceil_mode=ceil_mode)
    ours, places = layer(x)
    assert torch.equal(ours, values)
    assert torch.equal(places, indices)


def test_options_reach_the_kernel_in_order():
    """Positional and keyword options mean what they mean in torch.nn."""
    x = torch.randn(2, 3, 11, 9, dtype=torch.float64)
    for args, kwargs in (
        ((2,), {}),
        ((3, 2, 1), {}),
        (((3, 2), (2, 1), (1, 0)), {"ceil_mode": True}),
        ((3, 1, 0, 2), {}),
        ((2,), {"dilation": (2, 1)}),
    ):
        assert torch.equal(MaxPool2d(*args, **kwargs)(x), nn.MaxPool2d(*args, **kwargs)(x))


def test_a_window_never_steps_over_the_map():
    """A window of padding only has no maximum; torch would write outside the gradient for it."""
    with pytest.raises(ShapeError) as caught:
        MaxPool2d(2, stride=1, padding=1, dilation=2)(torch.ones(1, 1, 1))
    assert str(caught.value) == (
        "MaxPool2d expected maps of at least 2x2, received 1x1 in (1, 1, 1). "
        "Fix: use a smaller window, or fewer layers that shrink the map before it."
    )


def test_unbatched_and_empty_batches():
    """One map without a batch dim gives its own result; an empty batch stays empty."""
    x = torch.randn(3, 6, 6)
    layer = MaxPool2d(2)
    assert torch.equal(layer(x), layer(x.unsqueeze(0))[0])
    assert layer(x.unsqueeze(0)[:0]).shape == (0, 3, 3, 3)


def test_gradient_goes_to_the_first_maximum():
    """Of equal values the first one gets the gradient."""
    x = torch.tensor([[[1.0, 1.0], [1.0, 0.0]]], requires_grad=True)
    MaxPool2d(2)(x).sum().backward()
    assert x.grad.tolist() == [[[1, 0], [0, 0]]]


def test_nan_becomes_the_maximum():
    """A NaN in a window is not hidden by larger numbers."""
    assert MaxPool2d(2)(torch.tensor([[[1.0, float("nan")], [9.0, 2.0]]])).isnan().all()


def test_derivatives_pass_finite_differences():
    """First and second derivatives agree with finite differences."""
    x = (torch.randperm(2 * 2 * 5 * 5).double() / 7).reshape(2, 2, 5, 5).requires_grad_()
    layer = MaxPool2d(3, 2, 1)
    assert gradcheck(layer, x)
    assert gradgradcheck(layer, x)


@COMPILER
def test_composes_with_transforms_and_compilation():
    """Per-sample gradients, tracing and a compiled graph give the eager result."""
    layer = MaxPool2d(2, stride=1)
    x = torch.randn(4, 2, 5, 5, dtype=torch.float64)
    loss = lambda z: layer(z).square().sum()  # noqa: E731
    leaf = x.clone().requires_grad_()
    loss(leaf).backward()
    torch.testing.assert_close(vmap(grad(loss))(x), leaf.grad)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    assert torch.equal(compiled(x), layer(x))
    assert torch.equal(torch.fx.symbolic_trace(nn.Sequential(layer))(x), layer(x))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"kernel_size": 0},
            "MaxPool2d expected kernel_size to be one or two whole numbers from 1, received 0.",
        ),
        (
            {"kernel_size": (2, 2, 2)},
            (
                "MaxPool2d expected kernel_size to be one or two whole numbers from 1, "
                "received (2, 2, 2)."
            ),
        ),
        (
            {"kernel_size": 2, "stride": 0},
            "MaxPool2d expected stride to be one or two whole numbers from 1, received 0.",
        ),
        (
            {"kernel_size": 2, "padding": -1},
            "MaxPool2d expected padding to be one or two whole numbers from 0, received -1.",
        ),
        (
            {"kernel_size": 2, "dilation": (1, 0.5)},
            "MaxPool2d expected dilation to be one or two whole numbers from 1, received (1, 0.5).",
        ),
        (
            {"kernel_size": (3, 2), "padding": (1, 2)},
            (
                "MaxPool2d expected padding of at most half of kernel_size, 1x1, received 1x2. "
                "Fix: lower padding or raise kernel_size."
            ),
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        MaxPool2d(**options)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        (
            (5, 5),
            (
                "MaxPool2d expected (N, C, H, W) or (C, H, W), received (5, 5). "
                "Fix: add the missing dims, such as x.unsqueeze(0), or flatten the extra ones."
            ),
        ),
        (
            (1, 2, 4, 2),
            (
                "MaxPool2d expected maps of at least 3x3, received 4x2 in (1, 2, 4, 2). "
                "Fix: use a smaller window, or fewer layers that shrink the map before it."
            ),
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(shape, text):
    """The message names what fits."""
    with pytest.raises(ShapeError) as caught:
        MaxPool2d(3)(torch.zeros(shape))
    assert str(caught.value) == text


def test_repr_is_torchs():
    """Printing shows what torch prints."""
    for options in ({"kernel_size": 2}, {"kernel_size": (3, 2), "stride": 1, "padding": (1, 1)}):
        assert repr(MaxPool2d(**options)) == repr(nn.MaxPool2d(**options))
