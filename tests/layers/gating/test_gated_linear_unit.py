"""GatedLinearUnit against loops in plain Python, for the whole family."""

import copy
import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck
from torch.nn import functional as F

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.gating.gated_linear_unit import GatedLinearUnit

# torch's own doing: what its compiler uses inside is deprecated
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")

GATES = {
    "swiglu": lambda z: z / (1 + math.exp(-z)),
    "geglu": lambda z: z * (1 + math.erf(z / math.sqrt(2))) / 2,
    "reglu": lambda z: max(z, 0.0),
    "glu": lambda z: 1 / (1 + math.exp(-z)),
}
NAMES = pytest.mark.parametrize("name", GATES)


def affine(row, projection):
    """A row through a projection, as a list."""
    weight = projection.weight.tolist()
    bias = [0.0] * len(weight) if projection.bias is None else projection.bias.tolist()
    return [
        sum(w * f for w, f in zip(line, row, strict=True)) + b
        for line, b in zip(weight, bias, strict=True)
    ]


def gated(layer, row):
    """One row's answer by loops."""
    wide = affine(row, layer.widen)
    half = len(wide) // 2
    gate = GATES[layer.activation]
    return affine([gate(wide[i]) * wide[half + i] for i in range(half)], layer.narrow)


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(list(GATES)),
    before=st.lists(st.integers(0, 3), max_size=2),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)),
    bias=st.booleans(),
)
def test_agrees_with_loops(name, before, sizes, bias):
    """Any number of dims before the features, none too, and any sizes."""
    layer = GatedLinearUnit(*sizes, bias, activation=name, dtype=torch.float64)
    x = torch.randn(*before, sizes[0], dtype=torch.float64)
    y = layer(x)
    assert y.shape == (*before, sizes[2])
    for row, got in zip(x.reshape(-1, sizes[0]), y.reshape(-1, sizes[2]), strict=True):
        assert got.tolist() == pytest.approx(gated(layer, row.tolist()), rel=1e-10, abs=1e-12)


def test_glu_agrees_with_torch():
    """The inside of "glu" is torch's GLU with its halves exchanged."""
    layer = GatedLinearUnit(3, 4, 2, activation="glu")
    x = torch.randn(5, 3)
    value_first = layer.widen(x).roll(4, -1)
    torch.testing.assert_close(layer(x), layer.narrow(F.glu(value_first)))


@pytest.mark.parametrize(("size", "hidden"), [(1, 8), (3, 8), (4, 16), (12, 32), (768, 2048)])
def test_hidden_size_rule(size, hidden):
    """8/3 as wide, up to a multiple of 8; the output is as wide as the input."""
    layer = GatedLinearUnit(size)
    assert layer.hidden_features == hidden
    assert layer.widen.weight.shape == (2 * hidden, size)
    assert layer.narrow.weight.shape == (size, hidden)
    assert GatedLinearUnit(size, 5).widen.weight.shape == (10, size)


def test_as_many_parameters_as_a_plain_layer():
    """The rule keeps the number of weights of a layer that is 4 times as wide inside."""
    gated = sum(p.numel() for p in GatedLinearUnit(768, bias=False).parameters())
    assert gated == 2 * 768 * 4 * 768


@NAMES
def test_derivatives_pass_finite_differences(name):
    """Gradients of input and parameters agree with finite differences."""
    layer = GatedLinearUnit(3, 4, 2, activation=name, dtype=torch.float64)
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    names, parameters = zip(*layer.named_parameters(), strict=True)
    assert gradcheck(
        lambda x, *tensors: torch.func.functional_call(
            layer, dict(zip(names, tensors, strict=True)), x
        ),
        (x, *parameters),
    )


@COMPILER
@NAMES
def test_composes_with_compilation_export_and_vmap(name):
    """A compiled graph, an exported one of free batch, a trace and vmap give the eager result."""
    layer = GatedLinearUnit(6, activation=name)
    x = torch.randn(4, 6)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), layer(x))
    torch.testing.assert_close(torch.fx.symbolic_trace(nn.Sequential(layer))(x), layer(x))
    torch.testing.assert_close(torch.func.vmap(layer)(x), layer(x))
    free = {"x": {0: torch.export.Dim("batch")}}
    program = torch.export.export(layer, (x,), dynamic_shapes=free).module()
    x = torch.randn(7, 6)
    torch.testing.assert_close(program(x), layer(x))


@NAMES
def test_bfloat16_and_autocast_stay_close(name):
    """Half precision is kept, and gives nearly what double gives."""
    layer = GatedLinearUnit(6, activation=name, dtype=torch.float64)
    x = torch.randn(4, 6, dtype=torch.float64)
    half = copy.deepcopy(layer).bfloat16()(x.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), layer(x), rtol=0.05, atol=0.02)
    single = copy.deepcopy(layer).float()
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(single(x.float()).double(), layer(x), rtol=0.05, atol=0.02)


def test_state_survives():
    """A state dict, a deep copy and a pickle give the same answers; a reset does not."""
    layer, other, x = GatedLinearUnit(6), GatedLinearUnit(6), torch.randn(2, 6)
    other.load_state_dict(layer.state_dict())
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
    other.reset_parameters()
    for ours, new in zip(layer.parameters(), other.parameters(), strict=True):
        assert not torch.equal(ours, new)


def test_device_and_dtype_reach_everything():
    """Parameters are made where and as they are wanted."""
    layer = GatedLinearUnit(6, device="meta", dtype=torch.bfloat16)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.bfloat16)}


def test_unknown_activations_are_refused():
    """The message names the family."""
    with pytest.raises(OptionError) as caught:
        GatedLinearUnit(6, activation="gelu")
    assert str(caught.value) == (
        "GatedLinearUnit expected activation to be one of geglu, glu, reglu, swiglu, "
        "received 'gelu'."
    )


def test_inputs_that_do_not_fit_are_refused():
    """The layer inside that the input does not fit says so."""
    with pytest.raises(ShapeError, match=r"expected an input of shape \(\.\.\., 6\), received"):
        GatedLinearUnit(6)(torch.zeros(2, 5))


def test_repr_shows_the_activation():
    """Printing shows what the layers inside do not."""
    assert GatedLinearUnit(6).extra_repr() == "activation=swiglu"
