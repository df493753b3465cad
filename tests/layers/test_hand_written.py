"""Layers with a hand-written backward behave as torch's under everything that surrounds them."""

import copy
import inspect
import os
import shutil

import pytest
import torch
from torch import nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vjp, vmap
from torch.nn import functional as F
from torch.utils import _pytree as pytree
from torch.utils.checkpoint import checkpoint

from layerwright.layers.convolution.conv2d import Conv2d
from layerwright.layers.convolution.conv2d_function import Conv2dFunction
from layerwright.layers.hand_written import HandWrittenFunction, cast_for_autocast
from layerwright.layers.linear.linear import Linear, LinearFunction

# torch's own doing: what its forward mode and its compiler use inside is deprecated
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
INDUCTOR = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")
DEVICES = pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
        ),
    ],
)

# our class, torch's, its Function, arguments, options, and the input's shape
LAYERS = {
    "linear": (Linear, nn.Linear, LinearFunction, (5, 3), {}, (4, 5)),
    "linear deep": (Linear, nn.Linear, LinearFunction, (5, 3), {"bias": False}, (2, 2, 5)),
    "conv2d": (
        Conv2d,
        nn.Conv2d,
        Conv2dFunction,
        (2, 4, 3),
        {"padding": 1, "groups": 2, "stride": 2},
        (3, 2, 5, 4),
    ),
    "conv2d same": (
        Conv2d,
        nn.Conv2d,
        Conv2dFunction,
        (2, 3, 3),
        {"padding": "same", "padding_mode": "reflect", "bias": False},
        (3, 2, 4, 4),
    ),
}
NAMES = pytest.mark.parametrize("name", LAYERS)


def build(name, **options):
    """A layer of ours and torch's with the same weights, and an input."""
    ours, theirs, _, args, kwargs, shape = LAYERS[name]
    pair = ours(*args, **kwargs, **options), theirs(*args, **kwargs, **options)
    pair[0].load_state_dict(pair[1].state_dict())
    return *pair, torch.randn(shape, **options)


def step(layer, x, forward=None):
    """Output and gradients of input and parameters after one backward of a sum of squares."""
    x = x.detach().requires_grad_()
    layer.zero_grad()
    y = (layer if forward is None else forward)(x)
    y.float().square().sum().backward()
    return [y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters())]


def assert_all_equal(got, wanted):
    """The same tensors, bit for bit."""
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


class Doubled(HandWrittenFunction):
    """2 x, with a backward that can be told from the true one: it gives 3."""

    @staticmethod
    def forward(x):
        return 2 * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, grad_output):
        return 3 * grad_output


def test_apply_does_not_bind_a_signature(monkeypatch):
    """The costly part of torch's own `apply` is not run; forward and backward are."""
    x = torch.ones(2, requires_grad=True)

    def bound(*_):
        raise AssertionError("bound")

    with monkeypatch.context() as patch:
        patch.setattr(inspect, "signature", bound)
        with pytest.raises(AssertionError, match="bound"):
            super(HandWrittenFunction, Doubled).apply(x)
        y = Doubled.apply(x)
        y.sum().backward()
    assert y.tolist() == [2, 2]
    assert x.grad.tolist() == [3, 3]
    assert type(y.grad_fn).__name__ == "DoubledBackward"


def test_missing_arguments_are_noticed():
    """Without the binding forward itself insists on its arguments."""
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        Doubled.apply()


def test_transforms_use_the_hand_written_backward():
    """Under `grad` and `vmap` the derivative is the one that was written."""
    x = torch.arange(3.0)
    assert grad(lambda value: Doubled.apply(value).sum())(x).tolist() == [3, 3, 3]
    assert vmap(grad(Doubled.apply))(x).tolist() == [3, 3, 3]
    assert vmap(Doubled.apply)(x).tolist() == [0, 2, 4]


def test_a_subclass_is_its_own_function():
    """A Function derived from another records itself, not its parent."""

    class Negative(Doubled):
        @staticmethod
        def backward(ctx, grad_output):
            return -grad_output

    x = torch.ones(1, requires_grad=True)
    Negative.apply(x).backward()
    assert x.grad.item() == -1


def test_default_values_are_refused():
    """They would be lost without the binding, so the class cannot be made."""
    with pytest.raises(TypeError) as caught:

        class Scaled(HandWrittenFunction):
            @staticmethod
            def forward(x, factor=2.0):
                return x * factor

    assert str(caught.value) == (
        "Scaled.forward expected no default values, received (2.0,). "
        "Fix: pass every argument to apply."
    )


def test_once_differentiable_backward_works():
    """Decorators of torch for backward fit."""

    class Fixed(Doubled):
        @staticmethod
        @once_differentiable
        def backward(ctx, grad_output):
            return 5 * grad_output

    x = torch.ones(1, requires_grad=True)
    (first,) = torch.autograd.grad(Fixed.apply(x), x, create_graph=True)
    assert first.item() == 5


@NAMES
def test_tensors_that_outlived_a_transform(name):
    """A tensor leaked out of `grad` can be used, to second order, as torch's operators can."""
    ours, theirs, x = build(name)
    leaked = []

    def leak(value):
        leaked.append(value * 1.0)
        return value.sum()

    grad(leak)(x)
    results = []
    for layer in (ours, theirs):
        (first,) = torch.autograd.grad(
            layer(leaked[0]).square().sum(), layer.weight, create_graph=True
        )
        (second,) = torch.autograd.grad(first.square().sum(), layer.weight)
        results.append((first, second))
    torch.testing.assert_close(*results)


def loss(layer):
    """A scalar of parameters and input with derivatives of every order."""
    return lambda parameters, x: functional_call(layer, parameters, (x,)).pow(3).sum()


def twice(parameters):
    """Two sets of parameters, stacked as an ensemble."""
    return {name: torch.stack([value, 2 * value]) for name, value in parameters.items()}


def frozen_weight(layer, parameters, x):
    """The gradient of the input alone, for each sample."""
    function = lambda value: functional_call(layer, parameters, (value,)).pow(3).sum()  # noqa: E731
    return vmap(grad(function))(x)


# from a layer, its detached parameters and an input to a tensor or a tree of them
TRANSFORMS = {
    "grad": lambda layer, p, x: grad(loss(layer), argnums=(0, 1))(p, x),
    "grad of grad": lambda layer, p, x: grad(
        lambda value: grad(loss(layer), argnums=1)(p, value).square().sum()
    )(x),
    "vmap": lambda layer, p, x: vmap(lambda value: functional_call(layer, p, (value,)))(x),
    "vmap last dim": lambda layer, p, x: vmap(
        lambda value: functional_call(layer, p, (value,)), in_dims=-1, out_dims=-1
    )(torch.stack([x, 2 * x], dim=-1)),
    "per sample": lambda layer, p, x: vmap(grad(loss(layer)), in_dims=(None, 0))(p, x),
    "per sample batch": lambda layer, p, x: vmap(
        grad(loss(layer), argnums=(0, 1)), in_dims=(None, 0)
    )(p, torch.stack([x, 2 * x])),
    "ensemble": lambda layer, p, x: vmap(grad(loss(layer), argnums=(0, 1)), in_dims=(0, None))(
        twice(p), x
    ),
    "frozen weight": frozen_weight,
    "grad of vmap": lambda layer, p, x: grad(
        lambda q: vmap(lambda value: loss(layer)(q, value))(x).sum()
    )(p),
    "vjp": lambda layer, p, x: vjp(lambda q: functional_call(layer, q, (x,)), p)[1](layer(x)),
    "jvp": lambda layer, p, x: jvp(lambda q: functional_call(layer, q, (x,)), (p,), (p,)),
    "jacrev": lambda layer, p, x: jacrev(functional_call, argnums=1)(layer, p, (x,)),
    "jacfwd": lambda layer, p, x: jacfwd(functional_call, argnums=1)(layer, p, (x,)),
    "hessian": lambda layer, p, x: hessian(loss(layer), argnums=1)(p, x),
    "jacrev of jacrev": lambda layer, p, x: jacrev(jacrev(loss(layer)))(p, x),
    "jacfwd of jacfwd": lambda layer, p, x: jacfwd(jacfwd(loss(layer)))(p, x),
    "jacrev of jacfwd": lambda layer, p, x: jacrev(jacfwd(loss(layer)))(p, x),
}


@FORWARD_MODE
@NAMES
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_agree_with_torch(name, transform):
    """Every nesting of `torch.func` transforms gives what torch's layer gives."""
    ours, theirs, x = build(name, dtype=torch.float64)
    got, wanted = (
        pytree.tree_leaves(
            transform(layer, {key: value.detach() for key, value in layer.named_parameters()}, x)
        )
        for layer in (ours, theirs)
    )
    torch.testing.assert_close(got, wanted)


@NAMES
def test_transforms_run_our_backward(name, monkeypatch):
    """Per-sample gradients come out of the hand-written backward, not out of torch's."""
    ours, _, x = build(name)
    function = LAYERS[name][2]
    calls = []

    def spied(ctx, grad_output, backward=function.backward):
        calls.append(ctx)
        return backward(ctx, grad_output)

    monkeypatch.setattr(function, "backward", staticmethod(spied))
    parameters = {key: value.detach() for key, value in ours.named_parameters()}
    vmap(grad(loss(ours)), in_dims=(None, 0))(parameters, x)
    assert calls


@NAMES
@pytest.mark.parametrize("frozen", [(), ("weight",), ("bias",), ("weight", "bias")], ids=str)
@pytest.mark.parametrize("first", [True, False], ids=["first", "inner"])
@COMPILER
def test_compiled_in_one_graph(name, frozen, first):
    """`torch.compile` takes forward and backward without a break, whatever is frozen."""
    layer, _, x = build(name)
    for parameter_name in frozen:
        parameter = getattr(layer, parameter_name)
        if parameter is not None:
            parameter.requires_grad_(False)
    x.requires_grad_(not first)
    leaves = [tensor for tensor in (x, *layer.parameters()) if tensor.requires_grad]
    torch._dynamo.reset()
    y, expected = torch.compile(layer, backend="aot_eager", fullgraph=True)(x), layer(x)
    torch.testing.assert_close(y, expected)
    if leaves:
        got, wanted = (torch.autograd.grad(out.square().sum(), leaves) for out in (y, expected))
        torch.testing.assert_close(got, wanted)


@COMPILER
def test_compiled_for_any_batch():
    """One graph with dynamic shapes serves several batch sizes, frozen layers included."""
    network = nn.Sequential(
        Conv2d(1, 2, 3, padding="same"), nn.Flatten(), Linear(32, 3), Linear(3, 2)
    )
    network[2].weight.requires_grad_(False)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True, dynamic=True)
    for batch in (2, 3, 7):
        x = torch.randn(batch, 1, 4, 4)
        for got, wanted in zip(step(network, x, compiled)[:2], step(network, x)[:2], strict=True):
            torch.testing.assert_close(got, wanted)


@COMPILER
@NAMES
def test_compiled_transforms(name):
    """Per-sample gradients compile as well."""
    layer, _, x = build(name)
    parameters = {key: value.detach() for key, value in layer.named_parameters()}
    per_sample = vmap(grad(loss(layer)), in_dims=(None, 0))
    torch._dynamo.reset()
    compiled = torch.compile(per_sample, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(parameters, x), per_sample(parameters, x))


@COMPILER
@NAMES
def test_compiled_under_autocast(name):
    """The casts are part of the graph: output and gradients keep their types."""
    layer, _, x = build(name)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    with torch.autocast("cpu", torch.bfloat16):
        got, wanted = step(layer, x, compiled), step(layer, x)
    for ours, theirs in zip(got, wanted, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs)


@pytest.mark.slow
@COMPILER
@INDUCTOR
@pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="inductor needs a C++ compiler"
)
def test_compiled_to_machine_code(tmp_path, monkeypatch):
    """The default backend, which generates code, gives the same output and gradients."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    network = nn.Sequential(Conv2d(1, 2, 3), nn.Flatten(), Linear(8, 2))
    x = torch.randn(2, 1, 4, 4)
    torch._dynamo.reset()
    compiled = torch.compile(network, fullgraph=True)
    torch.testing.assert_close(step(network, x, compiled), step(network, x))


@DEVICES
@NAMES
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("region", ["forward", "backward", "both"])
def test_autocast_is_torchs(name, dtype, region, device):
    """Output in autocast's type, gradients in the parameters', all bit for bit torch's."""
    ours, theirs, x = build(name)
    results = []
    for layer in (ours.to(device), theirs.to(device)):
        leaf = x.to(device).requires_grad_()
        with torch.autocast(device, dtype, enabled=region != "backward"):
            y = layer(leaf)
        assert y.dtype == (torch.float32 if region == "backward" else dtype)
        with torch.autocast(device, dtype, enabled=region != "forward"):
            y.backward(torch.ones_like(y))
        results.append([y, leaf.grad, *(parameter.grad for parameter in layer.parameters())])
    assert all(tensor.dtype == torch.float32 for tensor in results[0][1:])
    assert_all_equal(*results)


@NAMES
def test_autocast_leaves_double_precision_alone(name):
    """As with torch's operators, float64 stays float64."""
    ours, theirs, x = build(name, dtype=torch.float64)
    with torch.autocast("cpu"):
        got, wanted = step(ours, x), step(theirs, x)
    assert got[0].dtype == torch.float64
    assert_all_equal(got, wanted)


@NAMES
def test_autocast_can_be_switched_off_inside(name):
    """A region in full precision within an autocast region is in full precision."""
    ours, theirs, x = build(name)
    with torch.autocast("cpu"), torch.autocast("cpu", enabled=False):
        got, wanted = step(ours, x), step(theirs, x)
    assert got[0].dtype == torch.float32
    assert_all_equal(got, wanted)


def test_autocast_of_another_device_is_no_matter():
    """Tensors on a device that knows no autocast come back as they are."""
    given = tuple(torch.ones(2, device="meta") for _ in range(3))
    with torch.autocast("cpu", torch.bfloat16):
        assert all(a is b for a, b in zip(cast_for_autocast(*given), given, strict=True))


def test_autocast_reaches_a_missing_bias():
    """Without a bias there is nothing to cast in its place."""
    with torch.autocast("cpu", torch.bfloat16):
        x, weight, bias = cast_for_autocast(torch.ones(2), torch.ones(2), None)
    assert (x.dtype, weight.dtype, bias) == (torch.bfloat16, torch.bfloat16, None)


@NAMES
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed(name, reentrant):
    """Activation checkpointing recomputes forward inside of backward and changes nothing."""
    ours, theirs, x = build(name)
    got = step(ours, x, lambda leaf: checkpoint(ours, leaf, use_reentrant=reentrant))
    assert_all_equal(got, step(theirs, x))


@NAMES
def test_used_twice_in_one_graph(name):
    """A layer that occurs twice sums its gradients."""
    ours, theirs, x = build(name)
    got = step(ours, x, lambda leaf: ours(leaf) * ours(2 * leaf))
    assert_all_equal(got, step(theirs, x, lambda leaf: theirs(leaf) * theirs(2 * leaf)))


@NAMES
def test_backward_twice(name):
    """A retained graph can be walked again; a released one says so."""
    layer, _, x = build(name)
    total = layer(x).sum()
    total.backward(retain_graph=True)
    once = layer.weight.grad.clone()
    total.backward()
    assert torch.equal(layer.weight.grad, 2 * once)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        total.backward()


@NAMES
def test_parametrized_weight(name):
    """A weight that is itself computed gets its gradient passed on."""
    ours, theirs, x = build(name)
    for layer in (ours, theirs):
        nn.utils.parametrizations.weight_norm(layer)
    torch.testing.assert_close(step(ours, x), step(theirs, x))


@COMPILER
@NAMES
@pytest.mark.parametrize("strict", [True, False])
def test_exported(name, strict):
    """`torch.export` sees torch's operators and nothing of ours, so that the program can train."""
    layer, _, x = build(name)
    program = torch.export.export(layer, (x,), strict=strict)
    operators = {node.target for node in program.graph.nodes if node.op == "call_function"}
    assert all(str(operator).startswith("aten.") for operator in operators), operators
    assert_all_equal(step(program.module(), x), step(layer, x))


def test_ordinary_functions_agree():
    """Our base changes the way to forward, not what comes out: a plain Function does the same."""

    class Ordinary(Function):
        generate_vmap_rule = True
        forward = staticmethod(LinearFunction.forward)
        setup_context = staticmethod(LinearFunction.setup_context)
        backward = staticmethod(LinearFunction.backward)

    layer = Linear(4, 2)
    x = torch.randn(3, 4)
    results = [
        step(layer, x, lambda leaf, kind=kind: kind.apply(leaf, layer.weight, layer.bias))
        for kind in (LinearFunction, Ordinary)
    ]
    assert_all_equal(*results)
    torch.testing.assert_close(results[0][0], F.linear(x, layer.weight, layer.bias))
    assert copy.deepcopy(layer).weight is not layer.weight
