"""PoolToSize2d against bins that are cut out one by one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, vmap

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.pooling.block_pool2d import BlockPool2d
from layerwright.layers.pooling.pool_to_size2d import PoolToSize2d


def bins(length, count):
    """The formula of the class page, in whole numbers."""
    return [slice(i * length // count, -(-(i + 1) * length // count)) for i in range(count)]


def pooled_bin_by_bin(x, size, mode):
    """Cut each bin out of the map and pool it on its own."""
    rows = []
    for row in bins(x.shape[-2], size[0]):
        values = [x[..., row, column].flatten(-2) for column in bins(x.shape[-1], size[1])]
        rows.append(
            torch.stack(
                [v.sort(-1).values[..., -1] if mode == "max" else v.mean(-1) for v in values], -1
            )
        )
    return torch.stack(rows, -2)


@settings(deadline=None, max_examples=60)
@given(
    map_size=st.tuples(st.integers(1, 7), st.integers(1, 7)),
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    mode=st.sampled_from(["max", "mean"]),
    batch=st.sampled_from([None, 0, 1, 2]),
)
def test_every_bin_is_pooled_on_its_own(map_size, size, mode, batch):
    """Each output is the maximum or mean of its bin, for maps that are larger or smaller."""
    x = torch.randn(*(() if batch is None else (batch,)), 3, *map_size, dtype=torch.float64)
    torch.testing.assert_close(PoolToSize2d(size, mode=mode)(x), pooled_bin_by_bin(x, size, mode))


def test_bins_that_divide_the_map_are_blocks():
    """The same as pooling over equal blocks."""
    x = torch.randn(2, 3, 6, 8)
    for mode in ("max", "mean"):
        blocks = BlockPool2d((2, 4), mode=mode)(x)
        torch.testing.assert_close(PoolToSize2d((3, 2), mode=mode)(x), blocks)


@pytest.mark.parametrize("mode", ["max", "mean"])
@pytest.mark.parametrize("size", [(2, 3), (6, 1)])
def test_derivatives_pass_finite_differences(mode, size):
    """First and second derivatives agree with finite differences, where bins overlap too."""
    x = (torch.randperm(2 * 5 * 5).double() / 7).reshape(1, 2, 5, 5).requires_grad_()
    layer = PoolToSize2d(size, mode=mode)
    assert gradcheck(layer, x)
    assert gradgradcheck(layer, x)


@pytest.mark.parametrize("mode", ["max", "mean"])
def test_composes_with_transforms_and_compilation(mode):
    """Per-sample gradients, tracing, a compiled graph and an exported one: the eager result."""
    layer = PoolToSize2d((2, 3), mode=mode)
    x = torch.randn(4, 2, 5, 4, dtype=torch.float64)
    loss = lambda z: layer(z).square().sum()  # noqa: E731
    leaf = x.clone().requires_grad_()
    loss(leaf).backward()
    torch.testing.assert_close(vmap(grad(loss))(x), leaf.grad)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
    assert torch.equal(torch.fx.symbolic_trace(nn.Sequential(layer))(x), layer(x))
    torch.testing.assert_close(torch.export.export(layer, (x,)).module()(x), layer(x))


@pytest.mark.parametrize("mode", ["max", "mean"])
def test_bfloat16_and_nan_pass_through(mode):
    """Half precision keeps its type; a NaN reaches its own bins only."""
    x = torch.randn(1, 4, 4, dtype=torch.bfloat16)
    x[0, 3, 3] = torch.nan
    y = PoolToSize2d(2, mode=mode)(x)
    assert y.dtype == torch.bfloat16
    assert y.isnan().flatten().tolist() == [False, False, False, True]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"size": (2, 0)},
            "PoolToSize2d expected size to be one or two whole numbers from 1, received (2, 0).",
        ),
        (
            {"size": 2, "mode": "avg"},
            "PoolToSize2d expected mode to be one of max, mean, received 'avg'.",
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        PoolToSize2d(**options)
    assert str(caught.value) == text


@pytest.mark.parametrize("shape", [(5, 5), (1, 2, 0, 3)])
def test_inputs_that_do_not_fit_are_refused(shape):
    """What is no map and an empty map are refused."""
    with pytest.raises(ShapeError, match="PoolToSize2d expected"):
        PoolToSize2d(2)(torch.zeros(shape))


def test_repr_shows_the_options():
    """Printing shows size and mode."""
    assert repr(PoolToSize2d((3, 2))) == "PoolToSize2d(size=(3, 2), mode=max)"
