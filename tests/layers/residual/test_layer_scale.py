"""LayerScale: what it multiplies, and where the channels are."""

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.residual.layer_scale import LayerScale

# torch's own doing: what its compiler uses inside is deprecated
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


@settings(deadline=None, max_examples=30)
@given(
    before=st.lists(st.integers(0, 3), max_size=2),
    channels=st.integers(1, 4),
    after=st.lists(st.integers(0, 3), max_size=2),
)
def test_each_channel_has_its_number(before, channels, after):
    """Wherever the channels are, each is multiplied by its own number."""
    dim = -1 - len(after)
    layer = LayerScale(channels, dim=dim, dtype=torch.float64)
    nn.init.normal_(layer.weight)
    x = torch.randn(*before, channels, *after, dtype=torch.float64)
    y = layer(x)
    assert y.shape == x.shape
    for c, number in enumerate(layer.weight.tolist()):
        assert torch.equal(y.select(dim, c), x.select(dim, c) * number)


def test_start():
    """All numbers start at `init_value`, again after a reset."""
    assert LayerScale(3).weight.tolist() == pytest.approx([1e-5] * 3)
    layer = LayerScale(3, 0.5)
    nn.init.zeros_(layer.weight)
    layer.reset_parameters()
    assert layer.weight.tolist() == [0.5] * 3


def test_derivatives_pass_finite_differences():
    """Gradients of input and numbers agree with finite differences."""
    layer = LayerScale(3, 0.5, dim=-2, dtype=torch.float64)
    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert gradcheck(
        lambda x, weight: torch.func.functional_call(layer, {"weight": weight}, x),
        (x, layer.weight),
    )


@COMPILER
def test_composes_with_compilation_export_and_vmap():
    """A compiled graph, an exported one of free batch, a trace and vmap give the eager result."""
    layer, x = LayerScale(3, 0.5, dim=-3), torch.randn(2, 3, 4, 4)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
    torch.testing.assert_close(torch.fx.symbolic_trace(nn.Sequential(layer))(x), layer(x))
    torch.testing.assert_close(torch.func.vmap(layer)(x), layer(x))
    free = {"x": {0: torch.export.Dim("batch")}}
    program = torch.export.export(layer, (x,), dynamic_shapes=free).module()
    x = torch.randn(5, 3, 4, 4)
    torch.testing.assert_close(program(x), layer(x))


def test_is_an_ordinary_module():
    """Device and dtype reach the parameter; state dict and pickle keep it."""
    layer = LayerScale(3, device="meta", dtype=torch.bfloat16)
    assert (layer.weight.device.type, layer.weight.dtype) == ("meta", torch.bfloat16)
    layer, other, x = LayerScale(3, 2.0), LayerScale(3), torch.randn(2, 3)
    other.load_state_dict(layer.state_dict())
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), 2 * x)
    half = LayerScale(3, 0.5).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    assert torch.equal(half, x.bfloat16() / 2)
    assert repr(layer) == "LayerScale(3, init_value=2.0, dim=-1)"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"num_features": 0}, "num_features to be a whole number from 1, received 0."),
        (
            {"num_features": 3, "dim": 1},
            "dim to be negative, counted from the end, received 1.",
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        LayerScale(**options)
    assert str(caught.value) == f"LayerScale expected {text}"


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (3, 4), (2, 4, 3, 3)])
def test_inputs_that_do_not_fit_are_refused(shape):
    """A single channel, which would be broadcast, is refused too."""
    with pytest.raises(ShapeError) as caught:
        LayerScale(3, dim=-3)(torch.zeros(shape))
    assert str(caught.value) == (
        f"LayerScale expected 3 channels in dim -3, received {shape}. "
        "Fix: change num_features, or dim, which is -1 for sequences and -3 for maps."
    )
