"""AvgPool2d against plain loops and torch.nn."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, vmap

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.pooling.avg_pool2d import AvgPool2d


def windows(size, kernel, stride, padding, *, ceil_mode):
    """The [start, stop) of each window in the padded dim, cut off at the end of the padding."""
    most = (size + 2 * padding - kernel) / stride
    count = (math.ceil(most) if ceil_mode else math.floor(most)) + 1
    return [
        (n * stride, min(n * stride + kernel, size + 2 * padding))
        for n in range(count)
        if n * stride < size + padding
    ]


def pooled_by_loops(x, kernel, stride, padding, *, ceil_mode, count_include_pad, divisor):
    """The definition, value by value, on a (C, H, W) list of lists."""
    height, width = len(x[0]), len(x[0][0])
    result = []
    for plane in x:
        rows = []
        for top, bottom in windows(height, kernel[0], stride[0], padding[0], ceil_mode=ceil_mode):
            row = []
            for left, right in windows(
                width, kernel[1], stride[1], padding[1], ceil_mode=ceil_mode
            ):
                inside = [
                    plane[i - padding[0]][j - padding[1]]
                    for i in range(top, bottom)
                    for j in range(left, right)
                    if 0 <= i - padding[0] < height and 0 <= j - padding[1] < width
                ]
                area = (bottom - top) * (right - left)
                count = area if count_include_pad else len(inside)
                row.append(sum(inside) / (divisor or count))
            rows.append(row)
        result.append(rows)
    return torch.tensor(result, dtype=torch.float64)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(deadline=None, max_examples=60)
@given(
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    kernel=pairs,
    stride=pairs,
    padding=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    ceil_mode=st.booleans(),
    count_include_pad=st.booleans(),
    divisor=st.sampled_from([None, 1, 5]),
)
def test_values_follow_the_definition(
    size, kernel, stride, padding, ceil_mode, count_include_pad, divisor
):
    """Every option combination gives what plain loops give, or is refused where torch refuses."""
    assume(all(padding[d] <= kernel[d] // 2 for d in (0, 1)))
    x = torch.randn(2, *size, dtype=torch.float64)
    options = (kernel, stride, padding, ceil_mode, count_include_pad, divisor)
    layer = AvgPool2d(*options)
    try:
        nn.AvgPool2d(*options)(x)
    except RuntimeError:
        with pytest.raises(ShapeError, match="AvgPool2d expected maps of at least"):
            layer(x)
        return
    expected = pooled_by_loops(
        x.tolist(),
        kernel,
        stride,
        padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor=divisor,
    )
    torch.testing.assert_close(layer(x), expected)


def test_unbatched_and_empty_batches():
    """One map without a batch dim gives its own result; an empty batch stays empty."""
    x = torch.randn(3, 6, 6)
    layer = AvgPool2d(2)
    assert torch.equal(layer(x), layer(x.unsqueeze(0))[0])
    assert layer(x.unsqueeze(0)[:0]).shape == (0, 3, 3, 3)


def test_derivatives_pass_finite_differences():
    """First and second derivatives agree with finite differences."""
    x = torch.randn(2, 2, 5, 5, dtype=torch.float64, requires_grad=True)
    layer = AvgPool2d(3, 2, 1, count_include_pad=False)
    assert gradcheck(layer, x)
    assert gradgradcheck(layer, x)


def test_composes_with_transforms_and_compilation():
    """Per-sample gradients, tracing and a compiled graph give the eager result."""
    layer = AvgPool2d(2, stride=1)
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
            {"kernel_size": "2"},
            "AvgPool2d expected kernel_size to be one or two whole numbers from 1, received '2'.",
        ),
        (
            {"kernel_size": 2, "padding": 2},
            (
                "AvgPool2d expected padding of at most half of kernel_size, 1x1, received 2x2. "
                "Fix: lower padding or raise kernel_size."
            ),
        ),
        (
            {"kernel_size": 2, "divisor_override": 0},
            "AvgPool2d expected divisor_override to be None or a number other than 0, received 0.",
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        AvgPool2d(**options)
    assert str(caught.value) == text


def test_inputs_that_do_not_fit_are_refused():
    """The message names what fits."""
    with pytest.raises(ShapeError) as caught:
        AvgPool2d((4, 2))(torch.zeros(1, 1, 3, 3))
    assert str(caught.value) == (
        "AvgPool2d expected maps of at least 4x2, received 3x3 in (1, 1, 3, 3). "
        "Fix: use a smaller window, or fewer layers that shrink the map before it."
    )


def test_repr_is_torchs():
    """Printing shows what torch prints."""
    for options in ({"kernel_size": 2}, {"kernel_size": (3, 2), "stride": 1, "padding": (1, 1)}):
        assert repr(AvgPool2d(**options)) == repr(nn.AvgPool2d(**options))
