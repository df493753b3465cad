"""LayerNorm, RMSNorm and GroupNorm: what they share, their hand-written backward above all."""

import copy
import operator

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap
from torch.utils import _pytree as pytree

from layerwright.layers.normalization.group_norm import GroupNorm
from layerwright.layers.normalization.layer_norm import LayerNorm
from layerwright.layers.normalization.rms_norm import RMSNorm
from layerwright.layers.normalization.standardization import StandardizationFunction

# torch's own doing: what its forward mode and its compiler use inside is deprecated
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")

# our class, torch's, arguments, options, and the input's shape
LAYERS = {
    "layer": (LayerNorm, nn.LayerNorm, (5,), {}, (4, 5)),
    "layer, two dims": (LayerNorm, nn.LayerNorm, ((3, 5),), {}, (2, 3, 5)),
    "layer, no bias": (LayerNorm, nn.LayerNorm, (5,), {"bias": False}, (2, 3, 5)),
    "layer, bare": (LayerNorm, nn.LayerNorm, (5,), {"elementwise_affine": False}, (4, 5)),
    "rms": (RMSNorm, nn.RMSNorm, (5,), {}, (4, 5)),
    "rms, two dims": (RMSNorm, nn.RMSNorm, ((3, 5),), {"eps": 0.1}, (2, 3, 5)),
    "rms, bare": (RMSNorm, nn.RMSNorm, (5,), {"elementwise_affine": False}, (4, 5)),
    "group": (GroupNorm, nn.GroupNorm, (2, 6), {}, (3, 6, 2, 2)),
    "group of vectors": (GroupNorm, nn.GroupNorm, (1, 6), {}, (4, 6)),
    "group, bare": (GroupNorm, nn.GroupNorm, (6, 6), {"affine": False}, (2, 6, 3)),
}
NAMES = pytest.mark.parametrize("name", LAYERS)


def build(name, dtype=torch.float64):
    """A layer of ours and torch's with the same random gain and bias, and an input."""
    ours, theirs, args, kwargs, shape = LAYERS[name]
    pair = ours(*args, **kwargs, dtype=dtype), theirs(*args, **kwargs, dtype=dtype)
    for parameter in pair[1].parameters():
        nn.init.normal_(parameter)
    pair[0].load_state_dict(pair[1].state_dict())
    return *pair, 2 + 3 * torch.randn(shape, dtype=dtype)


def step(layer, x, forward=None):
    """Output and gradients of input and parameters after one backward of a sum of cubes."""
    x = x.detach().requires_grad_()
    layer.zero_grad()
    y = (layer if forward is None else forward)(x)
    y.pow(3).sum().backward()
    return [y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters())]


@NAMES
def test_agrees_with_torch(name):
    """Output, gradients and state are those of torch's layer, with and without recording."""
    ours, theirs, x = build(name)
    torch.testing.assert_close(step(ours, x), step(theirs, x))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    recorded = step(ours, x)[0]
    with torch.no_grad():
        assert torch.equal(ours(x), recorded)


@NAMES
def test_derivatives_pass_finite_differences(name):
    """First and second derivatives of input and parameters agree with finite differences."""
    layer, _, x = build(name)
    names = [key for key, _ in layer.named_parameters()]

    def function(x, *values):
        return functional_call(layer, dict(zip(names, values, strict=True)), (x,))

    inputs = (x.requires_grad_(), *(parameter for parameter in layer.parameters()))
    assert gradcheck(function, inputs)
    assert gradgradcheck(function, inputs)


@pytest.mark.parametrize("centred", [True, False])
def test_the_scale_has_a_gradient_too(centred):
    """Both outputs of the Function, and their derivatives, pass finite differences."""
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    function = lambda value: StandardizationFunction.apply(value, 0.1, centred)  # noqa: E731
    assert gradcheck(function, (x,))
    assert gradgradcheck(function, (x,))


def loss(layer):
    """A scalar of parameters and input with derivatives of every order."""
    return lambda parameters, x: functional_call(layer, parameters, (x,)).pow(3).sum()


TRANSFORMS = {
    "grad": lambda layer, p, x: grad(loss(layer), argnums=(0, 1))(p, x),
    "grad of grad": lambda layer, p, x: grad(
        lambda value: grad(loss(layer), argnums=1)(p, value).square().sum()
    )(x),
    "per sample": lambda layer, p, x: vmap(grad(loss(layer)), in_dims=(None, 0))(
        p, torch.stack([x, 2 * x])
    ),
    "jvp": lambda layer, p, x: jvp(lambda value: functional_call(layer, p, (value,)), (x,), (x,)),
    "hessian": lambda layer, p, x: hessian(loss(layer), argnums=1)(p, x),
}


@FORWARD_MODE
@NAMES
@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_agree_with_torch(name, transform):
    """Every nesting of `torch.func` transforms gives what torch's layer gives."""
    ours, theirs, x = build(name)
    got, wanted = (
        pytree.tree_leaves(
            transform(layer, {key: value.detach() for key, value in layer.named_parameters()}, x)
        )
        for layer in (ours, theirs)
    )
    torch.testing.assert_close(got, wanted)


@FORWARD_MODE
@NAMES
def test_nested_forward_mode_is_right(name):
    """It gives the Hessian that reverse mode gives; that of `torch.nn.LayerNorm` does not."""
    layer, _, x = build(name)
    function = lambda value: layer(value).pow(3).sum()  # noqa: E731
    torch.testing.assert_close(jacfwd(jacfwd(function))(x), jacrev(jacrev(function))(x))


@NAMES
def test_the_hand_written_backward_runs(name, monkeypatch):
    """A gradient of the input comes out of our backward, not out of torch's."""
    layer, _, x = build(name)
    true_backward = StandardizationFunction.backward
    calls = []

    def spied(ctx, *grads):
        calls.append(ctx)
        return true_backward(ctx, *grads)

    monkeypatch.setattr(StandardizationFunction, "backward", staticmethod(spied))
    step(layer, x)
    assert len(calls) == 1


@NAMES
def test_the_input_is_not_kept(name):
    """What is saved for backward has other storage than the input."""
    layer, _, x = build(name)
    leaf = x.requires_grad_()
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        layer(leaf)
    assert saved
    assert x.untyped_storage().data_ptr() not in {t.untyped_storage().data_ptr() for t in saved}


@NAMES
def test_the_output_may_be_changed_in_place(name):
    """An activation in place after the layer does not break backward."""
    ours, theirs, x = build(name)
    results = [step(layer, x, lambda leaf, f=layer: f(leaf).relu_()) for layer in (ours, theirs)]
    torch.testing.assert_close(*results)


@NAMES
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_sums_in_float32(name, dtype):
    """Large values in half precision neither overflow nor lose more than their own rounding."""
    layer, _, x = build(name)
    x = (x * 300).to(dtype)
    wanted = step(layer, x.double())
    got = step(layer.to(dtype), x, lambda leaf: layer(leaf).float())
    assert got[1].dtype == dtype
    for half, exact in zip(got, wanted, strict=True):
        error = (half.double() - exact).abs().max() / exact.abs().max()
        assert error < 8 * torch.finfo(dtype).eps


@NAMES
def test_rows_do_not_see_each_other(name):
    """A sample alone, of which the batch is made up, and no sample at all: the same rows."""
    layer, _, x = build(name)
    y = layer(x)
    torch.testing.assert_close(torch.cat([layer(row) for row in x.split(1)]), y)
    empty = step(layer, x[:0])
    assert empty[0].shape == empty[1].shape == (0, *x.shape[1:])
    assert all(not gradient.any() for gradient in empty[2:])


@NAMES
def test_constant_rows_have_finite_gradients(name):
    """Where there is no variance, or nothing at all, eps keeps output and gradient finite."""
    layer, _, x = build(name)
    for value in (0.0, 1.0):
        assert all(tensor.isfinite().all() for tensor in step(layer, torch.full_like(x, value)))


@NAMES
def test_other_layouts_are_taken(name):
    """A transposed and a channels-last input give what a contiguous one gives."""
    layer, _, x = build(name)
    wanted = step(layer, x)
    turned = x.transpose(0, -1).contiguous().transpose(0, -1)
    torch.testing.assert_close(step(layer, turned), wanted)
    if x.dim() == 4:
        torch.testing.assert_close(step(layer, x.to(memory_format=torch.channels_last)), wanted)


@COMPILER
@NAMES
def test_compiled_in_one_graph(name):
    """`torch.compile` takes forward and backward without a break."""
    layer, _, x = build(name)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(step(layer, x, compiled), step(layer, x))


@COMPILER
@NAMES
def test_exported(name):
    """`torch.export` sees torch's operators only, so that the program can train."""
    layer, _, x = build(name)
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(layer, (x,), dynamic_shapes=(batch,))
    operators = {node.target for node in program.graph.nodes if node.op == "call_function"}
    operators.discard(operator.getitem)  # of an operator with several outputs
    assert all(str(target).startswith("aten.") for target in operators), operators
    more = torch.cat([x, x, x])
    torch.testing.assert_close(step(program.module(), more), step(layer, more))


@NAMES
def test_traced_symbolically(name):
    """`torch.fx` records the layer's call and leaves its decisions to the run."""
    layer, _, x = build(name)
    traced = torch.fx.symbolic_trace(nn.Sequential(layer))
    assert torch.equal(traced(x), layer(x))
    torch.testing.assert_close(step(traced, x), step(layer, x))


@NAMES
def test_autocast_computes_in_float32(name):
    """Under autocast a bfloat16 input meets float32 parameters; their gradients stay float32."""
    layer, _, x = build(name, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        results = step(layer, x.bfloat16(), lambda leaf: layer(leaf).float())
    assert results[1].dtype == torch.bfloat16
    assert all(gradient.dtype == torch.float32 for gradient in results[2:])
    torch.testing.assert_close(results[0], layer(x).detach(), atol=0.1, rtol=0.02)


@NAMES
def test_state_survives_a_round_trip(name, tmp_path):
    """A saved and loaded state, and a copy, compute the same."""
    layer, _, x = build(name)
    torch.save(layer.state_dict(), tmp_path / "state.pt")
    ours, _, args, kwargs, _ = LAYERS[name]
    fresh = ours(*args, **kwargs, dtype=torch.float64)
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(fresh(x), layer(x))
    assert torch.equal(copy.deepcopy(layer)(x), layer(x))
    fresh.reset_parameters()
    assert all(
        torch.equal(value, torch.full_like(value, float(key == "weight")))
        for key, value in fresh.state_dict().items()
    )
