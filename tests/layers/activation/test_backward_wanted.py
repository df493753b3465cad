"""What ReLU, Sigmoid and Tanh share: when the hand-written backward runs, and that it composes."""

import itertools
import math
import pickle
import weakref
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import forward_ad, gradcheck, gradgradcheck
from torch.func import grad, jacfwd, jacrev, jvp, vmap

from layerwright.layers.activation.relu import ReLU, ReLUFunction
from layerwright.layers.activation.sigmoid import Sigmoid, SigmoidFunction
from layerwright.layers.activation.tanh import Tanh, TanhFunction


def sigmoid_derivative(x):
    """e^-x / (1 + e^-x)^2, which does not go through the output."""
    return math.exp(-x) / (1 + math.exp(-x)) ** 2


# layer, its Function, torch's operator, and value and derivative in plain Python
ACTIVATIONS = {
    "relu": (ReLU, ReLUFunction, torch.relu, lambda x: max(0.0, x), lambda x: float(x > 0)),
    "sigmoid": (
        Sigmoid,
        SigmoidFunction,
        torch.sigmoid,
        lambda x: 1 / (1 + math.exp(-x)),
        sigmoid_derivative,
    ),
    "tanh": (Tanh, TanhFunction, torch.tanh, math.tanh, lambda x: 1 / math.cosh(x) ** 2),
}
LAYERS = pytest.mark.parametrize("name", ACTIVATIONS)
# torch's own doing: what its forward mode and its compiler use inside is deprecated
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def away_from_kink(*shape):
    """Doubles of both signs, none within 0.1 of zero, where finite differences would go wrong."""
    values = torch.randn(*shape, dtype=torch.float64)
    return (values + 0.1 * values.sign()).requires_grad_()


@LAYERS
@settings(deadline=None, max_examples=15)
@given(values=st.lists(st.floats(-20, 20), max_size=12))
def test_value_and_gradient_follow_the_formula(name, values):
    """Each value and each derivative is what plain Python computes."""
    layer, _, _, value, derivative = ACTIVATIONS[name]
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    weights = torch.arange(1.0, len(values) + 1, dtype=torch.float64)
    y = layer()(x)
    y.backward(weights)
    expected = torch.tensor([value(v) for v in values], dtype=torch.float64)
    torch.testing.assert_close(y.detach(), expected)
    slopes = torch.tensor([derivative(v) for v in values], dtype=torch.float64)
    torch.testing.assert_close(x.grad, slopes * weights)


@LAYERS
@settings(deadline=None, max_examples=15)
@given(shape=st.lists(st.integers(0, 4), max_size=4))
def test_any_shape_is_taken(name, shape):
    """Scalars, empty tensors and any number of dims work, forwards and backwards."""
    layer, _, operator, _, _ = ACTIVATIONS[name]
    x = torch.randn(shape, requires_grad=True)
    y = layer()(x)
    y.sum().backward()
    assert torch.equal(y, operator(x))
    assert x.grad.shape == x.shape


@LAYERS
@FORWARD_MODE
def test_derivatives_pass_finite_differences(name):
    """First and second derivatives agree with finite differences, batched and in forward mode."""
    layer = ACTIVATIONS[name][0]()
    x = away_from_kink(3, 4)
    assert gradcheck(layer, x, check_batched_grad=True, check_forward_ad=True)
    assert gradgradcheck(layer, x, check_fwd_over_rev=True)


@LAYERS
def test_function_runs_when_a_gradient_is_wanted(name):
    """The graph holds the hand-written backward, not the operator's own."""
    layer, function, *_ = ACTIVATIONS[name]
    y = layer()(torch.randn(3, requires_grad=True))
    assert type(y.grad_fn).__name__ == f"{function.__name__}Backward"


@LAYERS
def test_function_is_not_entered_without_a_gradient(name, monkeypatch):
    """Without a gradient, and in forward mode, the plain operator runs."""
    layer, function, operator, _, _ = ACTIVATIONS[name]

    def refuse(*_):
        raise AssertionError("the Function was entered")

    monkeypatch.setattr(function, "forward", refuse)
    x = torch.randn(3, requires_grad=True)
    expected = operator(x).detach()
    assert torch.equal(layer()(x.detach()), expected)
    with torch.no_grad():
        assert torch.equal(layer()(x), expected)
    with torch.inference_mode():
        assert torch.equal(layer()(x), expected)
    with forward_ad.dual_level():
        assert torch.equal(layer()(x).detach(), expected)
    with pytest.raises(AssertionError, match="the Function was entered"):
        layer()(x)


@LAYERS
def test_only_the_output_is_saved(name):
    """Backward keeps the output's memory and nothing else; the input can go."""
    layer = ACTIVATIONS[name][0]()
    saved = []

    def pack(tensor):
        saved.append(tensor.data_ptr())
        return tensor

    x = torch.randn(5, requires_grad=True) * 2
    gone = weakref.ref(x)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = layer(x)
    del x
    assert saved == [y.data_ptr()]
    assert gone() is None


@LAYERS
def test_overwriting_the_output_is_noticed(name):
    """Changing the saved output in place makes backward raise, not compute something wrong."""
    y = ACTIVATIONS[name][0]()(torch.randn(3, requires_grad=True))
    y.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@LAYERS
@pytest.mark.parametrize("kind", ["expanded", "transposed", "strided", "channels_last"])
def test_gradients_of_any_layout(name, kind):
    """Expanded, transposed and strided gradients give what contiguous ones give."""
    layer, _, operator, _, _ = ACTIVATIONS[name]
    x = torch.randn(2, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    gradient = {
        "expanded": torch.randn((), dtype=torch.float64).expand(2, 4, 4, 4),
        "transposed": torch.randn(4, 4, 4, 2, dtype=torch.float64).permute(3, 1, 2, 0),
        "strided": torch.randn(2, 4, 4, 8, dtype=torch.float64)[..., ::2],
        "channels_last": torch.randn(2, 4, 4, 4, dtype=torch.float64).to(
            memory_format=torch.channels_last
        ),
    }[kind]
    for source in (x, x.transpose(1, 3), x.contiguous(memory_format=torch.channels_last)):
        (ours,) = torch.autograd.grad(layer()(source), x, gradient)
        (theirs,) = torch.autograd.grad(operator(source), x, gradient.contiguous())
        torch.testing.assert_close(ours, theirs)


@LAYERS
@FORWARD_MODE
@pytest.mark.parametrize(
    "transforms",
    [
        nest
        for depth in (1, 2, 3)
        for nest in itertools.product((jacfwd, jacrev), repeat=depth)
        if depth < 3 or len(set(nest)) > 1
    ],
    ids=lambda nest: "-".join(transform.__name__ for transform in nest),
)
def test_nested_transforms_agree_with_the_operator(name, transforms):
    """Forward and reverse mode nest in any order, up to third derivatives."""
    layer, _, operator, _, _ = ACTIVATIONS[name]
    x = away_from_kink(3).detach()

    def derivative(function):
        nested = lambda z: function(z).square().sum()  # noqa: E731
        for transform in transforms:
            nested = transform(nested)
        return nested(x)

    torch.testing.assert_close(derivative(layer()), derivative(operator))


@LAYERS
@FORWARD_MODE
def test_transforms_of_batches(name):
    """Per-sample gradients, gradients through vmap, and jvp agree with the operator."""
    layer, _, operator, _, _ = ACTIVATIONS[name]
    x = torch.randn(4, 3, dtype=torch.float64)

    def all_of(function):
        squared = lambda z: function(z).square().sum()  # noqa: E731
        return (
            vmap(function, in_dims=1)(x),
            vmap(grad(squared))(x),
            grad(lambda z: vmap(squared)(z).sum())(x),
            jvp(function, (x,), (x.cos(),))[1],
            vmap(lambda z: jvp(function, (z,), (z.cos(),))[1])(x),
        )

    for ours, theirs in zip(all_of(layer()), all_of(operator), strict=True):
        torch.testing.assert_close(ours, theirs)


@LAYERS
@COMPILER
@FORWARD_MODE
def test_compiles_into_one_graph(name):
    """torch.compile traces the layer without a break; gradients and Hessian products stay right."""
    layer, _, operator, _, _ = ACTIVATIONS[name]
    instance = layer()
    torch._dynamo.reset()
    compiled = torch.compile(lambda z: instance(z) * 3, backend="aot_eager", fullgraph=True)
    x = torch.randn(5, dtype=torch.float64, requires_grad=True)
    (ours,) = torch.autograd.grad(compiled(x).square().sum(), x)
    (theirs,) = torch.autograd.grad((operator(x) * 3).square().sum(), x)
    torch.testing.assert_close(ours, theirs)

    def hessian_product(function, z):
        return jvp(grad(lambda v: function(v).square().sum()), (z,), (z.cos(),))[1]

    compiled = torch.compile(lambda z: hessian_product(instance, z), backend="aot_eager")
    z = x.detach()
    torch.testing.assert_close(compiled(z), hessian_product(operator, z))


@LAYERS
def test_autocast_and_low_precision(name):
    """The output keeps the input's dtype, under autocast too, and so does the gradient."""
    layer, _, operator, _, _ = ACTIVATIONS[name]
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        x = torch.randn(9, dtype=dtype, requires_grad=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = layer()(x)
        (ours,) = torch.autograd.grad(y.sum(), x)
        (theirs,) = torch.autograd.grad(operator(x).sum(), x)
        assert y.dtype == ours.dtype == dtype
        assert torch.equal(ours, theirs)


@LAYERS
def test_traces_and_exports(name):
    """Symbolic tracing keeps the choice for the run; torch.export sees the operator."""
    layer, function, operator, _, _ = ACTIVATIONS[name]
    x = torch.randn(2, 3, requires_grad=True)
    traced = torch.fx.symbolic_trace(nn.Sequential(layer()))
    assert type(traced(x).grad_fn).__name__ == f"{function.__name__}Backward"
    program = torch.export.export(nn.Sequential(layer()), (x,)).module()
    assert torch.equal(program(x), operator(x))


@LAYERS
def test_is_an_ordinary_module(name):
    """No state, torch's repr, and copies by deepcopy and pickle."""
    layer = ACTIVATIONS[name][0]
    instance = layer()
    assert not instance.state_dict()
    assert repr(instance) == f"{layer.__name__}()"
    x = torch.randn(3)
    for copy in (deepcopy(instance), pickle.loads(pickle.dumps(instance))):
        assert torch.equal(copy(x), instance(x))
