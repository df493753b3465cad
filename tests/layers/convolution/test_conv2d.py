"""Conv2d: its values and gradients, what it computes and keeps, what it refuses."""

import gc
import itertools
import pickle
import weakref
from copy import deepcopy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.utils._python_dispatch import TorchDispatchMode

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.convolution import Conv2d
from layerwright.layers.convolution.conv2d_function import Conv2dFunction, conv2d

# torch's own doing: what its forward mode uses inside is deprecated
FORWARD_MODE = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")
# torch's layer warns that its way of padding an even kernel copies
EVEN_KERNEL = pytest.mark.filterwarnings("ignore:Using padding='same' with even:UserWarning")
NEEDS = [needs for needs in itertools.product((True, False), repeat=3) if any(needs)]

OPTIONS = {
    "plain": {},
    "no bias": {"bias": False},
    "strided": {"stride": (2, 3)},
    "padded": {"padding": (2, 1)},
    "dilated": {"dilation": (2, 1), "padding": 1},
    "grouped": {"groups": 2},
    "depthwise": {"groups": 4},
    "oblong": {"kernel_size": (1, 4), "stride": (1, 2)},
    "same": {"padding": "same"},
    "same even": {"padding": "same", "kernel_size": (2, 4)},
    "same dilated": {"padding": "same", "kernel_size": (2, 3), "dilation": (3, 2)},
    "valid": {"padding": "valid"},
    "reflect": {"padding": (1, 2), "padding_mode": "reflect"},
    "replicate": {"padding": 3, "padding_mode": "replicate", "stride": 2},
    "circular": {"padding": "same", "padding_mode": "circular", "kernel_size": (2, 3)},
}
OPTION_SETS = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def ours_and_torchs(*, in_channels=4, out_channels=8, kernel_size=3, **options):
    """A layer of ours and torch's with the same weights."""
    theirs = nn.Conv2d(in_channels, out_channels, kernel_size, **options)
    ours = Conv2d(in_channels, out_channels, kernel_size, **options)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def step(layer, x, grad_output=None):
    """Output and gradients of input and parameters after one backward."""
    x = x.detach().requires_grad_()
    layer.zero_grad()
    y = layer(x)
    y.backward(torch.ones_like(y) if grad_output is None else grad_output)
    return [y.detach(), x.grad, *(parameter.grad for parameter in layer.parameters())]


def source(index, size, mode):
    """Where a padded row or column comes from; None for one of zeros."""
    if 0 <= index < size:
        return index
    if mode == "reflect":
        return -index if index < 0 else 2 * (size - 1) - index
    return {"zeros": None, "replicate": min(max(index, 0), size - 1), "circular": index % size}[
        mode
    ]


def loops(x, weight, bias, grad, *, stride, before, dilation, groups, mode):
    """Output and the three gradients of a convolution, place by place and weight by weight."""
    num_out, block_in, height, width = weight.shape
    block_out = num_out // groups
    y = bias[None, :, None, None].expand(grad.shape).clone()
    grad_x, grad_weight = torch.zeros_like(x), torch.zeros_like(weight)
    places = itertools.product(*map(range, grad.shape))
    for n, o, i, j in places:
        for c, k, m in itertools.product(range(block_in), range(height), range(width)):
            row = source(i * stride[0] + k * dilation[0] - before[0], x.shape[2], mode)
            column = source(j * stride[1] + m * dilation[1] - before[1], x.shape[3], mode)
            if row is None or column is None:
                continue
            channel = o // block_out * block_in + c
            y[n, o, i, j] += weight[o, c, k, m] * x[n, channel, row, column]
            grad_x[n, channel, row, column] += weight[o, c, k, m] * grad[n, o, i, j]
            grad_weight[o, c, k, m] += x[n, channel, row, column] * grad[n, o, i, j]
    return y, grad_x, grad_weight, grad.sum((0, 2, 3))


pairs = st.tuples(st.integers(1, 2), st.integers(1, 2))


@settings(deadline=None, max_examples=40)
@given(
    batch=st.integers(0, 2),
    size=st.tuples(st.integers(2, 4), st.integers(2, 4)),
    channels=st.sampled_from([(1, 1, 1), (2, 1, 1), (1, 2, 1), (2, 2, 2), (2, 4, 2)]),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=pairs,
    dilation=pairs,
    padding=st.one_of(
        st.sampled_from(["same", "valid"]), st.tuples(st.integers(0, 2), st.integers(0, 2))
    ),
    mode=st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    bias=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_values_and_gradients_follow_the_formula(
    batch, size, channels, kernel, stride, dilation, padding, mode, bias, seed
):
    """Output and gradients are what loops give, for every option and any mix of them."""
    stride = (1, 1) if padding == "same" else stride
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    total = {"same": reach, "valid": [0, 0]}.get(padding) or [2 * amount for amount in padding]
    before = [amount // 2 for amount in total]
    places = [
        (length + amount - far - 1) // gap + 1
        for length, amount, far, gap in zip(size, total, reach, stride, strict=True)
    ]
    assume(min(places) > 0)
    most = max(amount - low for amount, low in zip(total, before, strict=True))
    assume(mode != "reflect" or most < min(size))
    assume(mode != "circular" or most <= min(size))
    generator = torch.Generator().manual_seed(seed)
    num_in, num_out, groups = channels
    layer = Conv2d(
        num_in, num_out, kernel, stride, padding, dilation, groups, bias, mode, dtype=torch.float64
    )
    x = torch.randn(batch, num_in, *size, dtype=torch.float64, generator=generator)
    grad = torch.randn(batch, num_out, *places, dtype=torch.float64, generator=generator)
    expected = loops(
        x,
        layer.weight.detach(),
        layer.bias.detach() if bias else torch.zeros(num_out, dtype=torch.float64),
        grad,
        stride=stride,
        before=before,
        dilation=dilation,
        groups=groups,
        mode=mode,
    )
    for got, wanted in zip(step(layer, x, grad), expected, strict=False):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)


@EVEN_KERNEL
@OPTION_SETS
@pytest.mark.parametrize("shape", [(2, 4, 9, 8), (4, 9, 8), (0, 4, 9, 8)], ids=str)
def test_agrees_with_torch_bit_for_bit(options, shape):
    """On the same kernels the same numbers come out, in the same memory layout."""
    ours, theirs = ours_and_torchs(**options)
    x = torch.randn(shape)
    for got, wanted in zip(step(ours, x), step(theirs, x), strict=True):
        assert got.stride() == wanted.stride()
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("input_last", [True, False])
@pytest.mark.parametrize("weight_last", [True, False])
def test_memory_format_is_torchs(dtype, frozen, input_last, weight_last):
    """channels_last in input or weight gives the outputs and gradients the layout torch's have."""
    ours, theirs = ours_and_torchs(padding=1, dtype=dtype)
    x = torch.randn(2, 4, 6, 5, dtype=dtype)
    if input_last:
        x = x.to(memory_format=torch.channels_last)
    results = []
    for layer in (ours, theirs):
        if weight_last:
            layer.to(memory_format=torch.channels_last)
        layer.requires_grad_(not frozen)
        results.append(step(layer, x))
    for got, wanted in zip(*results, strict=True):
        if wanted is None:
            assert got is None
            continue
        assert got.stride() == wanted.stride()
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("bias", [True, False])
def test_same_seed_gives_torchs_weights(bias):
    """The start is torch's distribution: under one seed the very same values."""
    torch.manual_seed(3)
    ours = Conv2d(4, 6, (3, 2), groups=2, bias=bias)
    torch.manual_seed(3)
    theirs = nn.Conv2d(4, 6, (3, 2), groups=2, bias=bias)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for got, wanted in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(got, wanted)


def test_reset_does_not_depend_on_the_memory_format():
    """Under one seed a channels_last layer starts with the values of a contiguous one."""
    plain, last = Conv2d(2, 3, 3), Conv2d(2, 3, 3).to(memory_format=torch.channels_last)
    for layer in (plain, last):
        torch.manual_seed(5)
        layer.reset_parameters()
    assert torch.equal(plain.weight, last.weight)
    assert last.weight.is_contiguous(memory_format=torch.channels_last)


@OPTION_SETS
def test_prints_as_torchs(options):
    """`print` shows the same arguments."""
    ours, theirs = ours_and_torchs(**options)
    assert repr(ours) == repr(theirs)


def test_options_are_read_at_each_call():
    """A stride or dilation changed afterwards counts, as in torch."""
    layers = ours_and_torchs(padding=1)
    x = torch.randn(1, 4, 8, 8)
    for layer in layers:
        layer.stride, layer.dilation, layer.padding = (2, 2), (2, 2), (2, 2)
    assert torch.equal(layers[0](x), layers[1](x))


def test_device_and_dtype_are_taken():
    """Parameters are made where and as they are wanted; on meta everything works but values."""
    layer = Conv2d(2, 3, 3, device="meta", dtype=torch.float64)
    assert {(p.device.type, p.dtype) for p in layer.parameters()} == {("meta", torch.float64)}
    y = layer(torch.empty(1, 2, 5, 5, device="meta", dtype=torch.float64))
    y.sum().backward()
    assert layer.weight.grad.shape == (3, 2, 3, 3)


def test_copies_compute_the_same():
    """A deep copy and an unpickled layer are independent and equal."""
    layer = Conv2d(2, 3, 3, padding="same")
    x = torch.randn(1, 2, 5, 5)
    for copy in (deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(copy(x), layer(x))
        copy.weight.data.zero_()
        assert layer.weight.any()


class Operators(TorchDispatchMode):
    """Notes the operators that reach the kernels, and the mask of a convolution's backward."""

    def __init__(self):
        super().__init__()
        self.names = []
        self.masks = []

    def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
        self.names.append(operator.overloadpacket.__name__)
        if operator is torch.ops.aten.convolution_backward.default:
            self.masks.append(tuple(args[-1]))
        return operator(*args, **(kwargs or {}))


def leaves(needs):
    """Input, weight and bias of which some need a gradient."""
    shapes = ((2, 2, 5, 4), (3, 2, 2, 3), (3,))
    return [
        torch.randn(shape, dtype=torch.float64).requires_grad_(need)
        for shape, need in zip(shapes, needs, strict=True)
    ]


def convolve(x, weight, bias):
    """A convolution with different options in both directions."""
    return conv2d(x, weight, bias, (1, 2), (1, 0), (2, 1), 1, "zeros")


@pytest.mark.parametrize("needs", NEEDS, ids=str)
def test_each_gradient_is_computed_only_if_needed(needs):
    """The kernel is told what to leave out; a bias alone, or beside the input, is a plain sum."""
    needs_x, needs_weight, needs_bias = needs
    inputs = leaves(needs)
    y = convolve(*inputs)
    with Operators() as operators:
        y.backward(torch.ones_like(y))
    if needs_weight:
        assert operators.masks == [needs]
    else:
        assert operators.masks == [(True, False, False)] * needs_x
        assert operators.names.count("sum") == needs_bias
    assert [tensor.grad is not None for tensor in inputs] == list(needs)


@pytest.mark.parametrize("needs", NEEDS, ids=str)
def test_only_what_backward_reads_is_kept(needs):
    """The input is kept only for the weight's gradient; a bias alone keeps nothing."""
    needs_x, needs_weight, _ = needs
    x, weight, bias = leaves(needs)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor.shape), lambda _: None
    ):
        convolve(x, weight, bias)
    assert kept == [x.shape] * needs_weight + [weight.shape] * (needs_x or needs_weight)


def test_input_of_a_frozen_weight_is_set_free():
    """Memory: behind a frozen layer nobody holds the input any more."""
    layer = Conv2d(2, 3, 3).requires_grad_(False)
    first = torch.randn(1, 2, 5, 5, requires_grad=True)
    x = first * 2
    alive = weakref.ref(x)
    y = layer(x)
    del x
    gc.collect()
    assert alive() is None
    y.sum().backward()
    wanted = torch.autograd.grad(nn.functional.conv2d(first * 2, layer.weight).sum(), first)[0]
    assert torch.equal(first.grad, wanted)


def test_function_is_entered_only_for_a_gradient(monkeypatch):
    """Without gradients the plain operator runs."""
    layer = Conv2d(2, 3, 3)
    x = torch.randn(1, 2, 5, 5)
    assert type(layer(x).grad_fn).__name__ == "Conv2dFunctionBackward"

    def entered(*_):
        raise AssertionError("entered")

    monkeypatch.setattr(Conv2dFunction, "apply", entered)
    with torch.no_grad():
        layer(x)
    with torch.inference_mode():
        layer(x)
    deepcopy(layer).requires_grad_(False)(x)
    with pytest.raises(AssertionError, match="entered"):
        layer(x)


@FORWARD_MODE
@pytest.mark.parametrize("needs", NEEDS, ids=str)
def test_first_and_second_derivatives(needs):
    """Numerical differentiation agrees, for every choice of what needs a gradient."""
    inputs = leaves(needs)
    assert gradcheck(convolve, inputs, check_forward_ad=True, check_batched_grad=True)
    assert gradgradcheck(convolve, inputs, check_fwd_over_rev=True)


@OPTION_SETS
def test_second_derivatives_of_every_option(options):
    """Double backward is right with every option."""
    layer, _ = ours_and_torchs(in_channels=4, out_channels=4, **options, dtype=torch.float64)
    size = [2 + d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    x = torch.randn(1, 4, *(max(length, 4) for length in size), dtype=torch.float64)
    assert gradgradcheck(layer, x.requires_grad_(), fast_mode=True)
    parameters = dict(layer.named_parameters())
    assert gradgradcheck(
        lambda *values: torch.func.functional_call(
            layer, dict(zip(parameters, values, strict=True)), (x.detach(),)
        ),
        tuple(parameters.values()),
        fast_mode=True,
    )


def test_complex_numbers():
    """Complex convolutions take torch's gradients, which are right to second order too."""
    inputs = [
        torch.randn(shape, dtype=torch.complex128, requires_grad=True)
        for shape in ((1, 1, 3, 4), (1, 1, 2, 3), (1,))
    ]
    assert gradcheck(convolve, inputs)
    assert gradgradcheck(convolve, inputs)


GRAD_OUTPUTS = {
    "expanded": lambda: torch.tensor(2.0).expand(2, 8, 5, 6),
    "expanded maps": lambda: torch.randn(2, 8, 1, 1).expand(2, 8, 5, 6),
    "transposed": lambda: torch.randn(2, 8, 6, 5).mT,
    "channels_last": lambda: torch.randn(2, 8, 5, 6).to(memory_format=torch.channels_last),
    "strided": lambda: torch.randn(2, 16, 10, 6)[:, ::2, ::2],
}


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("name", GRAD_OUTPUTS)
def test_gradients_in_any_memory_layout(name, frozen):
    """Strided, transposed and expanded output gradients give what a dense copy gives."""
    ours, theirs = ours_and_torchs(padding=1)
    for layer in (ours, theirs):
        layer.weight.requires_grad_(not frozen)
    x = torch.randn(2, 4, 5, 6)
    grad_output = GRAD_OUTPUTS[name]()
    for got, wanted in zip(
        step(ours, x, grad_output), step(theirs, x, grad_output.contiguous()), strict=True
    ):
        assert (got is None) == (wanted is None)
        if got is not None:
            torch.testing.assert_close(got, wanted)


@EVEN_KERNEL
@pytest.mark.parametrize("shape", [(2, 4, 9, 8), (4, 9, 8)], ids=str)
@pytest.mark.parametrize("options", [{}, {"padding": "same", "kernel_size": 2}], ids=str)
def test_output_may_be_changed_in_place(options, shape):
    """An activation that overwrites its input may follow, with and without a batch."""
    ours, theirs = ours_and_torchs(**options)
    x = torch.randn(shape)
    ours_then_relu, theirs_then_relu = (
        nn.Sequential(layer, nn.ReLU(inplace=True)) for layer in (ours, theirs)
    )
    for got, wanted in zip(step(ours_then_relu, x), step(theirs_then_relu, x), strict=True):
        assert torch.equal(got, wanted)


def test_even_kernel_pads_without_a_word(recwarn):
    """Padding "same" adds the odd row and column after the map, and nobody is warned of it."""
    layer = Conv2d(1, 1, 2, padding="same", bias=False)
    nn.init.ones_(layer.weight)
    assert layer(torch.ones(1, 2, 2)).tolist() == [[[4, 2], [2, 1]]]
    assert not recwarn.list


def test_symbolic_tracing_sees_one_call():
    """torch.fx records the layer's computation as one function, which works for other inputs."""
    layer = Conv2d(2, 3, 3, padding="same", padding_mode="reflect")
    traced = torch.fx.symbolic_trace(nn.Sequential(layer))
    assert [node.target for node in traced.graph.nodes if node.op == "call_function"] == [conv2d]
    x = torch.randn(2, 5, 6)
    assert torch.equal(traced(x), layer(x))


@pytest.mark.parametrize("gradients", [True, False])
@pytest.mark.parametrize(
    "shape", [(), (3,), (5, 5), (2, 5, 5), (1, 2, 5, 5), (0, 2, 5, 5), (1, 1, 3, 5, 5)], ids=str
)
def test_other_channels_are_refused(shape, gradients):
    """The message names what was expected, what came and what to do."""
    layer = Conv2d(3, 2, 3).requires_grad_(gradients)
    with pytest.raises(ShapeError) as caught:
        layer(torch.zeros(shape))
    assert str(caught.value) == (
        f"Conv2d expected an input of shape (N, 3, H, W) or (3, H, W), received {shape}. "
        f"Fix: move the channels to dim -3, or build the layer with other in_channels."
    )
    assert caught.value.__suppress_context__


SMALLEST = {
    "plain": ((3, 3), {}),
    "grouped": ((3, 3), {"groups": 3}),
    "oblong": ((2, 4), {"kernel_size": (2, 4)}),
    "dilated": ((5, 7), {"dilation": (2, 3)}),
    "padded": ((1, 3), {"padding": (1, 0)}),
    "far padded": ((1, 1), {"padding": 5}),
    "same": ((1, 1), {"padding": "same"}),
    "valid": ((3, 3), {"padding": "valid", "stride": 2}),
    "reflect": ((2, 3), {"padding": (1, 2), "padding_mode": "reflect"}),
    "reflect same": ((3, 2), {"padding": "same", "kernel_size": (4, 3), "padding_mode": "reflect"}),
    "replicate": ((1, 1), {"padding": (1, 2), "padding_mode": "replicate"}),
    "circular": ((1, 2), {"padding": (1, 2), "padding_mode": "circular"}),
    "circular large": ((3, 3), {"padding": 1, "kernel_size": 5, "padding_mode": "circular"}),
}


@pytest.mark.parametrize(("smallest", "options"), SMALLEST.values(), ids=SMALLEST)
@pytest.mark.parametrize("short", [0, 1], ids=["low", "narrow"])
@pytest.mark.parametrize("batch", [(2,), ()], ids=["batch", "single"])
def test_small_maps_are_refused(smallest, options, short, batch):
    """One row or column less than the smallest map is too little, and the message tells."""
    layer = Conv2d(3, 3, **{"kernel_size": 3, **options})
    layer(torch.zeros(*batch, 3, *smallest))
    size = list(smallest)
    size[short] -= 1
    with pytest.raises(ShapeError) as caught:
        layer(torch.zeros(*batch, 3, *size))
    assert str(caught.value) == (
        f"Conv2d expected maps of at least {smallest[0]} x {smallest[1]}, "
        f"received {size[0]} x {size[1]} in {(*batch, 3, *size)}. "
        f"Fix: use larger maps, a smaller kernel_size or dilation, or another padding."
    )


def test_other_errors_are_left_alone():
    """What is no matter of shape keeps torch's own words."""
    with pytest.raises(RuntimeError, match="double"):
        Conv2d(2, 3, 3)(torch.zeros(1, 2, 5, 5, dtype=torch.float64))


PAIR = "a whole number from {} or a pair of them"
IMPOSSIBLE = {
    "in_channels": ("a whole number from 0", [-2, 2.0]),
    "out_channels": ("a whole number from 0", [-2, "2"]),
    "groups": ("a whole number from 1", [0, 1.0]),
    "kernel_size": (PAIR.format(1), [0, (3, 0), (3, 3, 3), (3,), 3.0, "3", None]),
    "stride": (PAIR.format(1), [0, (1, -1), 1.5]),
    "dilation": (PAIR.format(1), [0, (1, 2, 3)]),
    "padding": (PAIR.format(0), [-1, (0, 1.0), None]),
    "padding_mode": ("one of zeros, reflect, replicate, circular", ["zero", None]),
}


@pytest.mark.parametrize(
    ("name", "expected", "value"),
    [(name, text, value) for name, (text, values) in IMPOSSIBLE.items() for value in values],
    ids=repr,
)
def test_impossible_options_are_refused(name, expected, value):
    """The message names the option, what it may be and what it was."""
    options = {"in_channels": 2, "out_channels": 2, "kernel_size": 3, name: value}
    with pytest.raises(OptionError) as caught:
        Conv2d(**options)
    assert str(caught.value) == f"Conv2d expected {name} to be {expected}, received {value!r}."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"in_channels": 3, "groups": 2},
            "Conv2d expected in_channels to be a multiple of groups=2, received 3.",
        ),
        (
            {"out_channels": 3, "groups": 2},
            "Conv2d expected out_channels to be a multiple of groups=2, received 3.",
        ),
        (
            {"padding": "full"},
            "Conv2d expected padding to be a number, a pair, 'same' or 'valid', received 'full'.",
        ),
        (
            {"padding": "same", "stride": (1, 2)},
            (
                "Conv2d expected stride 1 with padding 'same', received (1, 2). "
                "Fix: give the padding in numbers."
            ),
        ),
    ],
    ids=["in_channels", "out_channels", "padding", "same"],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    """The message names both sides, and what to do."""
    with pytest.raises(OptionError) as caught:
        Conv2d(**{"in_channels": 4, "out_channels": 4, "kernel_size": 3, **options})
    assert str(caught.value) == message
