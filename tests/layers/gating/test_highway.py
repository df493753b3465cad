"""Highway against loops in plain Python, and how it starts."""

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
from layerwright.layers.gating.highway import Highway

# torch's own doing: what its compiler uses inside is deprecated
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")

TRANSFORMS = {"relu": lambda z: max(z, 0.0), "tanh": math.tanh}


def affine(row, projection):
    """A row through a projection, as a list."""
    return [
        sum(w * f for w, f in zip(line, row, strict=True)) + b
        for line, b in zip(projection.weight.tolist(), projection.bias.tolist(), strict=True)
    ]


def mixed(layer, row):
    """One row's answer by loops."""
    answer = []
    transformed, gates = affine(row, layer.transform), affine(row, layer.gate)
    for x, h, z in zip(row, transformed, gates, strict=True):
        t = 1 / (1 + math.exp(-z))
        answer.append(t * TRANSFORMS[layer.activation](h) + (1 - t) * x)
    return answer


@settings(deadline=None, max_examples=30)
@given(
    name=st.sampled_from(list(TRANSFORMS)),
    before=st.lists(st.integers(0, 3), max_size=2),
    size=st.integers(1, 4),
    gate_bias=st.floats(-5, 5),
)
def test_agrees_with_loops(name, before, size, gate_bias):
    """Any number of dims before the features, none too."""
    layer = Highway(size, activation=name, gate_bias=gate_bias, dtype=torch.float64)
    x = torch.randn(*before, size, dtype=torch.float64)
    y = layer(x)
    assert y.shape == x.shape
    for row, got in zip(x.reshape(-1, size), y.reshape(-1, size), strict=True):
        assert got.tolist() == pytest.approx(mixed(layer, row.tolist()), rel=1e-10, abs=1e-12)


def test_starts_by_carrying():
    """The gate's bias starts at -2, anew after a reset; a closed gate is the identity."""
    layer = Highway(6)
    nn.init.ones_(layer.gate.bias)
    before = copy.deepcopy(layer.state_dict())
    layer.reset_parameters()
    assert layer.gate.bias.tolist() == [-2.0] * 6
    assert not any(torch.equal(v, before[name]) for name, v in layer.state_dict().items())
    x = torch.randn(3, 6)
    assert torch.equal(Highway(6, gate_bias=-200.0)(x), x)


def test_many_layers_carry_a_signal():
    """Through 30 new layers most of the input arrives, which plain layers of its kind lose."""
    x = torch.randn(64, 32)
    carried = nn.Sequential(*(Highway(32) for _ in range(30)))(x)
    plain = nn.Sequential(*(Highway(32, gate_bias=200.0) for _ in range(30)))(x)
    likeness = [
        torch.corrcoef(torch.stack([y.flatten(), x.flatten()]))[0, 1] for y in (carried, plain)
    ]
    assert likeness[0] > 0.3
    assert abs(likeness[1]) < 0.2


@pytest.mark.parametrize("name", TRANSFORMS)
def test_derivatives_pass_finite_differences(name):
    """Gradients of input and parameters agree with finite differences."""
    layer = Highway(3, activation=name, dtype=torch.float64)
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    names, parameters = zip(*layer.named_parameters(), strict=True)
    assert gradcheck(
        lambda x, *tensors: torch.func.functional_call(
            layer, dict(zip(names, tensors, strict=True)), x
        ),
        (x, *parameters),
    )


@COMPILER
def test_composes_with_compilation_export_and_vmap():
    """A compiled graph, an exported one of free batch, a trace and vmap give the eager result."""
    layer, x = Highway(6), torch.randn(4, 6)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
    torch.testing.assert_close(torch.fx.symbolic_trace(nn.Sequential(layer))(x), layer(x))
    torch.testing.assert_close(torch.func.vmap(layer)(x), layer(x))
    free = {"x": {0: torch.export.Dim("batch")}}
    program = torch.export.export(layer, (x,), dynamic_shapes=free).module()
    x = torch.randn(7, 6)
    torch.testing.assert_close(program(x), layer(x))


def test_bfloat16_and_autocast_stay_close():
    """Half precision is kept; under autocast what is carried keeps its precision."""
    layer, x = Highway(6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    half = copy.deepcopy(layer).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), layer(x), rtol=0.05, atol=0.02)
    single = copy.deepcopy(layer).float()
    with torch.autocast("cpu", torch.bfloat16):
        y = single(x.float())
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.double(), layer(x), rtol=0.05, atol=0.02)


def test_state_survives():
    """A state dict, a deep copy and a pickle give the same answers."""
    layer, other, x = Highway(6), Highway(6), torch.randn(2, 6)
    other.load_state_dict(layer.state_dict())
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))


def test_device_and_dtype_reach_everything():
    """Parameters are made where and as they are wanted."""
    layer = Highway(6, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.bfloat16)}


def test_unknown_activations_are_refused():
    """The message names what there is."""
    with pytest.raises(OptionError) as caught:
        Highway(6, activation="gelu")
    assert str(caught.value) == (
        "Highway expected activation to be one of relu, tanh, received 'gelu'."
    )


def test_inputs_that_do_not_fit_are_refused():
    """The layer inside that the input does not fit says so."""
    with pytest.raises(ShapeError, match=r"expected an input of shape \(\.\.\., 6\), received"):
        Highway(6)(torch.zeros(2, 5))


def test_repr_shows_the_options():
    """Printing shows size, activation and where the gate starts."""
    assert Highway(6).extra_repr() == "6, activation=relu, gate_bias=-2.0"
