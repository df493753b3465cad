"""Floating-point operations: against counts by hand and torch's counter."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import layerwright as lw
from layerwright.networks import network_class


def counted(network, inputs, **options):
    """Summarise without timing."""
    return lw.summary(network, inputs, time=False, **options)


def loops_of_convolution(x, weight, stride, dilation, groups):
    """Count multiply-adds of a 2-d convolution without padding, one by one, in plain Python."""
    batch, channels, height, width = x
    outs, _, kernel_h, kernel_w = weight
    count = 0
    for _ in range(batch):
        for out in range(outs):
            for top in range(0, height - dilation * (kernel_h - 1), stride):
                for left in range(0, width - dilation * (kernel_w - 1), stride):
                    for channel in range(channels):
                        if channel * groups // channels != out * groups // outs:
                            continue
                        for row in range(kernel_h):
                            for column in range(kernel_w):
                                assert top + dilation * row < height
                                assert left + dilation * column < width
                                count += 1
    return count


@pytest.mark.parametrize(
    ("stride", "dilation", "groups"), [(1, 1, 1), (2, 1, 1), (1, 2, 1), (1, 1, 2), (2, 2, 4)]
)
def test_a_convolution_is_counted_as_by_loops(stride, dilation, groups):
    """Two for each multiply-add; stride, dilation and groups change how many there are."""
    layer = nn.Conv2d(4, 8, 3, stride=stride, dilation=dilation, groups=groups)
    loops = loops_of_convolution((2, 4, 9, 8), layer.weight.shape, stride, dilation, groups)
    found = counted(layer, (2, 4, 9, 8), backward=True)
    assert found.flops == 2 * loops
    assert found.backward_flops == 2 * loops  # of the weight; the input wants no gradient
    assert found.uncounted == ()


@pytest.mark.parametrize("groups", [1, 2])
def test_a_transposed_convolution_is_counted_from_its_input(groups):
    """Each input position meets the kernel once for each channel of its group."""
    layer = nn.ConvTranspose2d(4, 6, 3, stride=2, groups=groups)
    found = counted(layer, (2, 4, 5, 5), backward=True)
    assert found.flops == 2 * (2 * 4 * 5 * 5) * (6 // groups) * 3 * 3
    assert found.backward_flops == found.flops


def test_the_backward_pass_of_a_chain_counts_both_gradients():
    """The second layer sends one gradient to its weight and one to its input, grouped or not."""
    network = nn.Sequential(nn.Conv1d(4, 8, 3, groups=2), nn.Conv1d(8, 8, 3, groups=4))
    found = counted(network, (2, 4, 10), backward=True)
    first, second = found.modules[0].parts
    assert first.flops == 2 * 2 * 8 * 8 * (2 * 3)
    assert second.flops == 2 * 2 * 6 * 8 * (2 * 3)
    assert (first.backward_flops, second.backward_flops) == (first.flops, 2 * second.flops)
    assert found.backward_flops == first.flops + 2 * second.flops


class Products(nn.Module):
    """Matrix products on parameters of its own, which counters by module do not see."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(5, 7))
        self.vector = nn.Parameter(torch.randn(7))

    def forward(self, x):
        y = torch.einsum("nti,io->nto", x, self.weight)
        scores = torch.einsum("nto,nso->nts", y, y)
        return scores, y[0] @ self.vector, torch.dot(self.vector, self.vector)


def test_einsum_and_plain_products_are_counted():
    """2 N T I O for the weight, 2 N T T O for the scores, 2 T O and 2 O for the vectors."""
    found = counted(Products(), (2, 3, 5))
    assert found.flops == 2 * 2 * 3 * 5 * 7 + 2 * 2 * 3 * 3 * 7 + 2 * 3 * 7 + 2 * 7


class Attends(nn.Module):
    def __init__(self, *, fused):
        super().__init__()
        self.fused = fused

    def forward(self, q, k, v):
        if self.fused:
            return F.scaled_dot_product_attention(q, k, v)
        return (q @ k.transpose(-1, -2)).softmax(-1) @ v


@pytest.mark.parametrize("fused", [True, False])
def test_attention_costs_two_products_however_it_is_written(fused):
    """Scores, 2 N H L S D, and their product with the values, 2 N H L S E."""
    q, k, v = torch.randn(2, 4, 6, 8), torch.randn(2, 4, 5, 8), torch.randn(2, 4, 5, 8)
    assert counted(Attends(fused=fused), (q, k, v)).flops == 2 * (2 * 2 * 4 * 6 * 5 * 8)


def test_multihead_attention_is_its_projections_and_its_products():
    """Four projections of L x E, and the two products of attention."""
    n, length, dim = 2, 5, 8
    layer = nn.MultiheadAttention(dim, 2, batch_first=True)
    found = counted(layer, tuple([(n, length, dim)] * 3))
    assert found.flops == 4 * 2 * n * length * dim * dim + 2 * 2 * n * length * length * dim


@pytest.mark.parametrize("fast_path", [True, False])
def test_a_transformer_layer_in_eval_mode_shows_and_counts_its_parts(fast_path):
    """The fused operator of torch's fast path, which has no formula, is not taken."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    if fast_path:
        layer.requires_grad_(False)
    found = counted(layer, (2, 5, 8))
    attention = 4 * 2 * 2 * 5 * 8 * 8 + 2 * 2 * 2 * 5 * 5 * 8
    assert found.flops == attention + 2 * (2 * 2 * 5 * 8 * 16)
    assert next(part.path for part in found.modules[0].parts) == "self_attn"
    timed = lw.summary(layer, (2, 5, 8))
    assert {item.name for item in timed.uncounted} == {item.name for item in found.uncounted}
    assert 0 < timed.counted_time_share < 1


def test_the_backward_pass_of_a_modules_own_operators_is_its_own():
    """What a network multiplies between two layers belongs to neither of them."""

    class Between(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(3, 4), nn.Linear(5, 2)
            self.weight = nn.Parameter(torch.ones(4, 5))

        def forward(self, x):
            return self.last(self.first(x) @ self.weight)

    (top,) = counted(Between, (7, 3), backward=True).modules
    assert [part.backward_flops for part in top.parts] == [2 * 7 * 3 * 4, 2 * 2 * 7 * 5 * 2]
    assert top.backward_flops - sum(part.backward_flops for part in top.parts) == 2 * 2 * 7 * 4 * 5


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_layers_are_counted(kind, bidirectional):
    """At each step each direction of each layer multiplies with two matrices of its gates."""
    steps, batch, size, hidden = 4, 3, 5, 7
    gates, directions = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], 1 + bidirectional
    layer = getattr(nn, kind)(size, hidden, 2, bidirectional=bidirectional)
    widths = (size, hidden * directions)
    hand = sum(
        2 * steps * batch * gates * hidden * (width + hidden) * directions for width in widths
    )
    found = counted(layer, (steps, batch, size), backward=True)
    assert found.flops == hand
    if kind == "LSTM":  # one operator, which always sends gradients to the input too
        assert found.backward_flops == 2 * hand


def test_complex_products_count_four_real_ones():
    """A complex multiply-add is four real ones."""
    x = torch.randn(3, 4, dtype=torch.complex64)
    layer = nn.Linear(4, 5, bias=False, dtype=torch.complex64)
    assert counted(layer, x).flops == 4 * 2 * 3 * 4 * 5


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("lenet", (2, 1, 28, 28)),
        ("resnet", (2, 3, 16, 16)),
        ("simplenet", (2, 1, 28, 28)),
        ("text-transformer", None),
    ],
)
def test_forward_and_backward_agree_with_torchs_counter(name, shape):
    """Where torch's counter has formulas, which are right without groups."""
    torch.manual_seed(0)
    network = network_class(name)(*([100] if shape is None else [shape[1:], 10]))
    inputs = network.example_inputs() if shape is None else (torch.randn(shape),)
    with FlopCounterMode(display=False) as forward:
        output = network(*inputs)
    with FlopCounterMode(display=False) as backward:
        output.sum().backward()
    found = counted(network, inputs, backward=True)
    assert found.flops == forward.get_total_flops()
    assert found.backward_flops == backward.get_total_flops()


class Custom(nn.Module):
    def __init__(self, operator):
        super().__init__()
        self.operator = operator

    def forward(self, x):
        return self.operator(torch.relu(x).flatten(1))


def test_operators_without_a_formula_are_listed_with_their_share_of_the_time():
    """By name, a library's own operator too; what only moves memory is not listed."""
    lib = torch.library.Library("lw_test_flops", "FRAGMENT")
    lib.define("triple(Tensor x) -> Tensor")
    lib.impl("triple", lambda x: x * 3, "CompositeExplicitAutograd")
    try:
        network = Custom(torch.ops.lw_test_flops.triple)
        found = lw.summary(network, torch.randn(4, 8, 8))
        assert {item.name for item in found.uncounted} == {"aten.relu", "lw_test_flops.triple"}
        shares = [item.time_share for item in found.uncounted]
        assert all(0 < share < 1 for share in shares)
        assert found.counted_time_share == pytest.approx(1 - sum(shares))
        assert "FLOPs not known, share of the time: " in str(found)
        without = lw.summary(network, torch.randn(4, 8, 8), time=False)
        assert [item.time_share for item in without.uncounted] == [None, None]
        assert "not measured: relu x1, lw_test_flops.triple x1" in str(without)
    finally:
        lib._destroy()


def test_whole_numbers_do_no_floating_point_operations():
    """Arithmetic on indices and masks is counted as what it is: none."""

    class Shifts(nn.Module):
        def forward(self, tokens):
            return (tokens + 1) * 2 > 3

    found = counted(Shifts(), torch.ones(2, 3, dtype=torch.int64))
    assert (found.flops, found.uncounted) == (0, ())
