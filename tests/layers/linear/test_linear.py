"""Linear: its values and gradients, what it computes and keeps, what it refuses."""

import gc
import itertools
import pickle
import weakref
from collections import Counter
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.linear import Linear
from layerwright.layers.linear.linear import LinearFunction, linear

# torch's own doing: what its forward mode uses inside is deprecated
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
NEEDS = [needs for needs in itertools.product((True, False), repeat=3) if any(needs)]


def ours_and_torchs(*args, **kwargs):
    """A layer of ours and torch's with the same weights."""
    theirs = nn.Linear(*args, **kwargs)
    ours = Linear(*args, **kwargs)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def step(layer, x, grad_output=None):
    """Output and gradients of input and parameters after one backward."""
    x = x.detach().requires_grad_()
    layer.zero_grad()
    y = layer(x)
    y.backward(torch.ones_like(y) if grad_output is None else grad_output)
    return [y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters())]


def loops(x, weight, bias, grad_output):
    """Output and the three gradients, in loops over plain Python numbers."""
    num_out, num_in = len(weight), len(weight[0])
    y = [
        [sum(row[i] * weight[o][i] for i in range(num_in)) + bias[o] for o in range(num_out)]
        for row in x
    ]
    grad_x = [
        [sum(g[o] * weight[o][i] for o in range(num_out)) for i in range(num_in)]
        for g in grad_output
    ]
    grad_weight = [
        [sum(g[o] * row[i] for g, row in zip(grad_output, x, strict=True)) for i in range(num_in)]
        for o in range(num_out)
    ]
    grad_bias = [sum(g[o] for g in grad_output) for o in range(num_out)]
    return y, grad_x, grad_weight, grad_bias


@settings(deadline=None, max_examples=30)
@given(
    leading=st.lists(st.integers(0, 3), max_size=3),
    num_in=st.integers(1, 4),
    num_out=st.integers(1, 4),
    bias=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_values_and_gradients_follow_the_formula(leading, num_in, num_out, bias, seed):
    """Output and gradients are what loops over plain numbers give, for any leading dims."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*leading, num_in, dtype=torch.float64, generator=generator)
    grad_output = torch.randn(*leading, num_out, dtype=torch.float64, generator=generator)
    layer = Linear(num_in, num_out, bias, dtype=torch.float64)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_(generator=generator)
    num_rows = x.numel() // num_in
    expected = loops(
        x.reshape(num_rows, num_in).tolist(),
        layer.weight.tolist(),
        layer.bias.tolist() if bias else [0.0] * num_out,
        grad_output.reshape(num_rows, num_out).tolist(),
    )
    shapes = [(*leading, num_out), (*leading, num_in), (num_out, num_in), (num_out,)]
    for got, values, shape in zip(step(layer, x, grad_output), expected, shapes, strict=False):
        wanted = torch.tensor(values, dtype=torch.float64).reshape(shape)
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5), (0, 5), (2, 0, 5)], ids=str)
def test_agrees_with_torch_bit_for_bit(shape, dtype):
    """On the same kernels the same numbers come out, in the same memory layout."""
    ours, theirs = ours_and_torchs(5, 3, dtype=dtype)
    x = torch.randn(shape, dtype=dtype)
    for got, wanted in zip(step(ours, x), step(theirs, x), strict=True):
        assert got.dtype == wanted.dtype
        assert got.stride() == wanted.stride()
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("bias", [True, False])
def test_same_seed_gives_torchs_weights(bias):
    """The start is torch's distribution: under one seed the very same values."""
    torch.manual_seed(3)
    ours = Linear(7, 4, bias)
    torch.manual_seed(3)
    theirs = nn.Linear(7, 4, bias)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for got, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(got, wanted)
    torch.manual_seed(3)
    before = ours.weight.detach().clone()
    ours.weight.data.zero_()
    ours.reset_parameters()
    assert torch.equal(ours.weight, before)


def test_prints_as_torchs():
    """`print` shows the same arguments."""
    assert repr(Linear(3, 2)) == "Linear(in_features=3, out_features=2, bias=True)"
    assert repr(Linear(3, 2, bias=False)) == repr(nn.Linear(3, 2, bias=False))


def test_device_and_dtype_are_taken():
    """Parameters are made where and as they are wanted; on meta everything works but values."""
    layer = Linear(3, 2, device="meta", dtype=torch.float64)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.float64)}
    y = layer(torch.empty(4, 3, device="meta", dtype=torch.float64))
    y.sum().backward()
    assert layer.weight.grad.shape == (2, 3)


def test_copies_compute_the_same():
    """A deep copy and an unpickled layer are independent and equal."""
    layer = Linear(3, 2)
    x = torch.randn(4, 3)
    for copy in (deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(copy(x), layer(x))
        copy.weight.data.zero_()
        assert layer.weight.any()


class Operators(TorchDispatchMode):
    """Counts the operators that reach the kernels."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.counts[operator.overloadpacket.__name__] += 1
        return operator(*args, **(kwargs or {}))


@pytest.mark.parametrize("needs", NEEDS, ids=str)
def test_each_gradient_is_computed_only_if_needed(needs):
    """Backward does one product for the input, one for the weight, one sum for the bias."""
    needs_x, needs_weight, needs_bias = needs
    x, weight, bias = (
        torch.randn(shape).requires_grad_(need)
        for shape, need in zip(((4, 3), (2, 3), (2,)), needs, strict=True)
    )
    y = linear(x, weight, bias)
    with Operators() as operators:
        y.backward(torch.ones_like(y))
    assert operators.counts["mm"] == needs_x + needs_weight
    assert operators.counts["sum"] == needs_bias
    assert [tensor.grad is not None for tensor in (x, weight, bias)] == list(needs)


@pytest.mark.parametrize("needs", NEEDS, ids=str)
def test_only_what_backward_reads_is_kept(needs):
    """The input is kept for the weight's gradient, the weight for the input's, nothing else."""
    needs_x, needs_weight, _ = needs
    x, weight, bias = (
        torch.randn(shape).requires_grad_(need)
        for shape, need in zip(((4, 3), (2, 3), (2,)), needs, strict=True)
    )
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tuple(tensor.shape)), lambda _: None
    ):
        linear(x, weight, bias)
    assert kept == [(4, 3)] * needs_weight + [(2, 3)] * needs_x


def test_input_of_a_frozen_weight_is_set_free():
    """Memory: behind a frozen layer nobody holds the input any more."""
    layer = Linear(3, 2)
    layer.weight.requires_grad_(False)
    x = torch.randn(4, 3)
    alive = weakref.ref(x)
    y = layer(x)
    del x
    gc.collect()
    assert alive() is None
    y.sum().backward()
    assert layer.bias.grad.tolist() == [4, 4]


def test_function_is_entered_only_for_a_gradient(monkeypatch):
    """Without gradients, and in forward mode, the plain operator runs."""
    layer = Linear(3, 2)
    x = torch.randn(4, 3)
    assert type(layer(x).grad_fn).__name__ == "LinearFunctionBackward"

    def entered(*_):
        raise AssertionError("entered")

    monkeypatch.setattr(LinearFunction, "apply", entered)
    with torch.no_grad():
        layer(x)
    with torch.inference_mode():
        layer(x)
    deepcopy(layer).requires_grad_(False)(x)
    with pytest.raises(AssertionError, match="entered"):
        layer(x)


@FORWARD_MODE
@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 2, 3)], ids=str)
@pytest.mark.parametrize("needs", NEEDS, ids=str)
def test_first_and_second_derivatives(shape, needs):
    """Numerical differentiation agrees, in reverse and forward mode and in both orders."""
    inputs = tuple(
        torch.randn(size, dtype=torch.float64).requires_grad_(need)
        for size, need in zip((shape, (2, 3), (2,)), needs, strict=True)
    )
    assert gradcheck(linear, inputs, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(linear, inputs, check_fwd_over_rev=True)


def test_third_derivative():
    """(w x)^4 has the third derivative 24 w x^4 in w: every order is differentiable."""
    x = torch.tensor([[1.5]], dtype=torch.float64)
    weight = torch.tensor([[2.0]], dtype=torch.float64, requires_grad=True)
    value = linear(x, weight, None).pow(4).sum()
    for _ in range(3):
        (value,) = torch.autograd.grad(value.sum(), weight, create_graph=True)
    assert value.item() == pytest.approx(24 * 2.0 * 1.5**4)


def test_complex_numbers():
    """Gradients of complex inputs are conjugated as torch defines them."""
    inputs = tuple(
        torch.randn(size, dtype=torch.complex128, requires_grad=True)
        for size in ((4, 3), (2, 3), (2,))
    )
    assert gradcheck(linear, inputs)
    assert gradgradcheck(linear, inputs)


GRAD_OUTPUTS = {
    "expanded": lambda: torch.tensor(2.0).expand(6, 4),
    "expanded columns": lambda: torch.randn(6, 1).expand(6, 4),
    "transposed": lambda: torch.randn(4, 6).t(),
    "strided": lambda: torch.randn(12, 8)[::2, ::2],
}


@pytest.mark.parametrize("name", GRAD_OUTPUTS)
def test_gradients_in_any_memory_layout(name):
    """Strided, transposed and expanded output gradients give what a dense copy gives."""
    ours, theirs = ours_and_torchs(5, 4)
    x = torch.randn(6, 5)
    grad_output = GRAD_OUTPUTS[name]()
    for got, wanted in zip(
        step(ours, x, grad_output), step(theirs, x, grad_output.contiguous()), strict=True
    ):
        torch.testing.assert_close(got, wanted)


def test_inputs_in_any_memory_layout():
    """Strided and expanded inputs and weights give what dense ones give."""
    weight = torch.randn(5, 4).t().requires_grad_()
    for x in (torch.randn(5, 6).t(), torch.randn(1, 5).expand(6, 5), torch.randn(2, 5, 3).mT):
        ours = torch.autograd.grad(linear(x, weight, None).sum(), weight)
        theirs = torch.autograd.grad(F.linear(x.contiguous(), weight).sum(), weight)
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("shape", [(5,), (4, 5), (2, 3, 5)], ids=str)
def test_output_may_be_changed_in_place(shape):
    """An activation that overwrites its input may follow, whatever the number of dims."""
    ours, theirs = ours_and_torchs(5, 3)
    x = torch.randn(shape)
    ours_then_relu, theirs_then_relu = (
        nn.Sequential(layer, nn.ReLU(inplace=True)) for layer in (ours, theirs)
    )
    for got, wanted in zip(step(ours_then_relu, x), step(theirs_then_relu, x), strict=True):
        assert torch.equal(got, wanted)


def test_changed_weight_is_noticed():
    """A weight overwritten between forward and backward is an error, as in torch."""
    layer = Linear(3, 2)
    y = layer(torch.randn(4, 3, requires_grad=True))
    with torch.no_grad():
        layer.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_symbolic_tracing_sees_one_call():
    """torch.fx records the layer's computation as one function, which works for other inputs."""
    layer = Linear(3, 2)
    traced = torch.fx.symbolic_trace(nn.Sequential(layer))
    assert [node.target for node in traced.graph.nodes if node.op == "call_function"] == [linear]
    x = torch.randn(2, 4, 3)
    assert torch.equal(traced(x), layer(x))


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize(
    "shape", [(), (0,), (2,), (4, 2), (3, 4), (2, 3, 4), (3, 1), (0, 2), (2, 3, 0)], ids=str
)
def test_other_widths_are_refused(shape, gradients):
    """The message names what was expected, what came and what to do."""
    layer = Linear(3, 2).requires_grad_(gradients)
    with pytest.raises(ShapeError) as caught:
        layer(torch.zeros(shape))
    assert str(caught.value) == (
        f"Linear expected an input of shape (..., 3), received {shape}. "
        f"Fix: make the last dim 3, or build the layer with other in_features."
    )
    assert caught.value.__suppress_context__


def test_other_errors_are_left_alone():
    """What is no matter of shape keeps torch's own words."""
    with pytest.raises(RuntimeError, match="dtype"):
        Linear(3, 2)(torch.zeros(4, 3, dtype=torch.float64))


@pytest.mark.parametrize("name", ["in_features", "out_features"])
@pytest.mark.parametrize("value", [-1, 2.0, "3", None, (3,)], ids=repr)
def test_impossible_sizes_are_refused(name, value):
    """Sizes are whole numbers from 0."""
    sizes = {"in_features": 3, "out_features": 2, name: value}
    with pytest.raises(OptionError) as caught:
        Linear(**sizes)
    assert str(caught.value) == (
        f"Linear expected {name} to be a whole number from 0, received {value!r}."
    )


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors:UserWarning")
def test_a_layer_may_be_empty():
    """Without features in, the bias comes out; without features out, nothing."""
    layer = Linear(0, 2)
    assert torch.equal(layer(torch.zeros(3, 0)), layer.bias.expand(3, 2))
    assert step(layer, torch.zeros(3, 0))[2].shape == (2, 0)
    assert Linear(2, 0)(torch.zeros(3, 2)).shape == (3, 0)
