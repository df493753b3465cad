"""BlockPool2d against a plain division into blocks."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, vmap

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.pooling.block_pool2d import BlockPool2d


def pooled_block_by_block(x, block, mode, remainder):
    """Cut the map into blocks with slices and pool each on its own; "drop" leaves partial ones."""
    height, width = x.shape[-2:]
    rows = []
    for top in range(0, height, block[0]):
        row = []
        for left in range(0, width, block[1]):
            if remainder == "drop" and (top + block[0] > height or left + block[1] > width):
                continue
            values = x[..., top : top + block[0], left : left + block[1]].flatten(-2)
            row.append(values.sort(-1).values[..., -1] if mode == "max" else values.mean(-1))
        if row:
            rows.append(torch.stack(row, -1))
    return torch.stack(rows, -2)


@settings(deadline=None, max_examples=40)
@given(
    counts=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    block=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    extra=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    mode=st.sampled_from(["max", "mean"]),
    remainder=st.sampled_from(["error", "drop", "keep"]),
    batched=st.booleans(),
)
def test_every_block_is_pooled_on_its_own(counts, block, extra, mode, remainder, batched):
    """Each output is the maximum or mean of its block; a remainder is treated as declared."""
    size = [counts[d] * block[d] + extra[d] for d in (0, 1)]
    x = torch.randn(*((2, 3) if batched else (3,)), *size, dtype=torch.float64)
    layer = BlockPool2d(block, mode=mode, remainder=remainder)
    if remainder == "error" and (size[0] % block[0] or size[1] % block[1]):
        with pytest.raises(ShapeError, match="expected maps that blocks of"):
            layer(x)
        return
    torch.testing.assert_close(layer(x), pooled_block_by_block(x, block, mode, remainder))


def test_blocks_do_not_touch_each_other():
    """Changing one value changes the output of its own block only."""
    x = torch.randn(1, 1, 6, 6)
    changed = x.clone()
    changed[..., 3, 2] += 100
    for mode in ("max", "mean"):
        layer = BlockPool2d(3, mode=mode)
        different = (layer(x) != layer(changed)).flatten()
        assert different.tolist() == [False, False, True, False]


def test_a_map_smaller_than_a_block_is_kept_as_one():
    """With "keep" a map that fills no block is one small block, its mean over what it has."""
    x = torch.arange(6.0).reshape(1, 2, 3)
    assert BlockPool2d(4, mode="mean", remainder="keep")(x).tolist() == [[[2.5]]]
    assert BlockPool2d(4, mode="max", remainder="keep")(x).tolist() == [[[5.0]]]


@pytest.mark.parametrize("mode", ["max", "mean"])
def test_derivatives_pass_finite_differences(mode):
    """First and second derivatives agree with finite differences, in smaller blocks too."""
    x = (torch.randperm(2 * 2 * 5 * 5).double() / 7).reshape(2, 2, 5, 5).requires_grad_()
    layer = BlockPool2d(2, mode=mode, remainder="keep")
    assert gradcheck(layer, x)
    assert gradgradcheck(layer, x)


@pytest.mark.parametrize("mode", ["max", "mean"])
def test_composes_with_transforms_and_compilation(mode):
    """Per-sample gradients, tracing and a compiled graph give the eager result."""
    layer = BlockPool2d(2, mode=mode)
    x = torch.randn(4, 2, 6, 4, dtype=torch.float64)
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
            {"block_size": 0},
            "BlockPool2d expected block_size to be one or two whole numbers from 1, received 0.",
        ),
        (
            {"block_size": 2, "mode": "min"},
            "BlockPool2d expected mode to be one of max, mean, received 'min'.",
        ),
        (
            {"block_size": 2, "remainder": "pad"},
            "BlockPool2d expected remainder to be one of error, drop, keep, received 'pad'.",
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        BlockPool2d(**options)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("remainder", "shape", "text"),
    [
        (
            "error",
            (1, 1, 7, 6),
            (
                "BlockPool2d expected maps that blocks of 3x2 divide, "
                "received 7x6 in (1, 1, 7, 6). "
                'Fix: another block_size, or remainder="drop" or "keep".'
            ),
        ),
        (
            "error",
            (1, 6, 7),
            (
                "BlockPool2d expected maps that blocks of 3x2 divide, received 6x7 in (1, 6, 7). "
                'Fix: another block_size, or remainder="drop" or "keep".'
            ),
        ),
        (
            "drop",
            (1, 2, 6),
            (
                "BlockPool2d expected maps of at least 3x2, received 2x6 in (1, 2, 6). "
                "Fix: use a smaller window, or fewer layers that shrink the map before it."
            ),
        ),
        (
            "keep",
            (7,),
            (
                "BlockPool2d expected (N, C, H, W) or (C, H, W), received (7,). "
                "Fix: add the missing dims, such as x.unsqueeze(0), or flatten the extra ones."
            ),
        ),
    ],
)
def test_inputs_that_do_not_fit_are_refused(remainder, shape, text):
    """The message names what fits and the ways out."""
    with pytest.raises(ShapeError) as caught:
        BlockPool2d((3, 2), remainder=remainder)(torch.zeros(shape))
    assert str(caught.value) == text


def test_repr_shows_the_options():
    """Printing shows block size, mode and what happens to a remainder."""
    text = "BlockPool2d(block_size=(3, 2), mode=mean, remainder=error)"
    assert repr(BlockPool2d((3, 2), mode="mean")) == text
