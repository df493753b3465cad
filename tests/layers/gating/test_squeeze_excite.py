"""SqueezeExcite against loops in plain Python."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.gating.squeeze_excite import SqueezeExcite

# torch's own doing: what its compiler uses inside is deprecated
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def affine(row, projection):
    """A row through a projection, as a list."""
    return [
        sum(w * f for w, f in zip(line, row, strict=True)) + b
        for line, b in zip(projection.weight.tolist(), projection.bias.tolist(), strict=True)
    ]


def scaled(layer, maps):
    """One sample's answer by loops over nested lists (C, H, W)."""
    means = [sum(map(sum, rows)) / (len(rows) * len(rows[0])) for rows in maps]
    squeezed = [max(z, 0.0) for z in affine(means, layer.squeeze)]
    scales = [1 / (1 + math.exp(-z)) for z in affine(squeezed, layer.excite)]
    return [
        [[scale * value for value in row] for row in rows]
        for scale, rows in zip(scales, maps, strict=True)
    ]


@settings(deadline=None, max_examples=30)
@given(
    samples=st.integers(0, 3),
    channels=st.integers(1, 4),
    squeezed=st.sampled_from([None, 1, 3]),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
)
def test_agrees_with_loops(samples, channels, squeezed, height, width):
    """Maps of any size, with a batch and without."""
    layer = SqueezeExcite(channels, squeezed, dtype=torch.float64)
    x = torch.randn(samples, channels, height, width, dtype=torch.float64)
    y = layer(x)
    assert y.shape == x.shape
    for image, got in zip(x, y, strict=True):
        wanted = torch.tensor(scaled(layer, image.tolist()), dtype=torch.float64)
        torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(layer(image), wanted, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("channels", "squeezed"), [(1, 8), (64, 8), (128, 8), (256, 16)])
def test_squeeze_rule(channels, squeezed):
    """A sixteenth of the channels, but at least 8."""
    layer = SqueezeExcite(channels)
    assert layer.squeeze.weight.shape == (squeezed, channels)
    assert layer.excite.weight.shape == (channels, squeezed)


def test_derivatives_pass_finite_differences():
    """Gradients of input and parameters agree with finite differences."""
    layer = SqueezeExcite(3, 4, dtype=torch.float64)
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    names, parameters = zip(*layer.named_parameters(), strict=True)
    assert gradcheck(
        lambda x, *tensors: torch.func.functional_call(
            layer, dict(zip(names, tensors, strict=True)), x
        ),
        (x, *parameters),
    )


@COMPILER
def test_composes_with_compilation_export_and_vmap():
    """A compiled graph, an exported one of free sizes, a trace and vmap give the eager result."""
    layer, x = SqueezeExcite(3), torch.randn(2, 3, 5, 4)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
    torch.testing.assert_close(torch.fx.symbolic_trace(nn.Sequential(layer))(x), layer(x))
    torch.testing.assert_close(torch.func.vmap(layer)(x), layer(x))
    free = {"x": {i: torch.export.Dim(name) for i, name in ((0, "batch"), (2, "h"), (3, "w"))}}
    program = torch.export.export(layer, (x,), dynamic_shapes=free).module()
    x = torch.randn(5, 3, 7, 6)
    torch.testing.assert_close(program(x), layer(x))


def test_bfloat16_and_autocast_stay_close():
    """Half precision is kept, over many pixels too; under autocast maps keep their dtype."""
    layer, x = SqueezeExcite(6, dtype=torch.float64), torch.rand(2, 6, 64, 64).double() * 20
    half = copy.deepcopy(layer).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), layer(x), rtol=0.05, atol=0.02)
    single = copy.deepcopy(layer).float()
    with torch.autocast("cpu", torch.bfloat16):
        y = single(x.float())
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.double(), layer(x), rtol=0.05, atol=0.02)


def test_memory_format_is_kept():
    """A channels_last map stays one."""
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert SqueezeExcite(3)(x).is_contiguous(memory_format=torch.channels_last)


def test_state_survives():
    """A state dict, a deep copy and a pickle give the same answers; a reset does not."""
    layer, other, x = SqueezeExcite(6), SqueezeExcite(6), torch.randn(2, 6, 3, 3)
    other.load_state_dict(layer.state_dict())
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
    other.reset_parameters()
    for ours, new in zip(layer.parameters(), other.parameters(), strict=True):
        assert not torch.equal(ours, new)


def test_device_and_dtype_reach_everything():
    """Parameters are made where and as they are wanted."""
    layer = SqueezeExcite(6, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.bfloat16)}


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((0,), "channels to be a whole number from 1, received 0."),
        ((4, 0), "squeeze_channels to be a whole number from 1, received 0."),
    ],
)
def test_impossible_options_are_refused(args, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        SqueezeExcite(*args)
    assert str(caught.value) == f"SqueezeExcite expected {text}"


@pytest.mark.parametrize(
    "shape", [(2, 4, 4), (2, 2, 4, 4), (3, 4), (1, 2, 3, 4, 4), (2, 3, 0, 4), (3, 4, 0)]
)
def test_inputs_that_do_not_fit_are_refused(shape):
    """Other channels, no map, or a map without a pixel, whose mean would be NaN."""
    with pytest.raises(ShapeError) as caught:
        SqueezeExcite(3)(torch.zeros(shape))
    assert str(caught.value) == (
        "SqueezeExcite expected (N, 3, H, W) or (3, H, W) with at least one pixel, "
        f"received {shape}. "
        "Fix: move channels before height and width, or build it with other channels."
    )
