"""Dropout: its distribution, its ends, and the random numbers it uses."""

import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, vmap

from layerwright.errors import OptionError
from layerwright.layers.regularization.dropout import Dropout


@settings(deadline=None, max_examples=20)
@given(p=st.floats(0.05, 0.95), seed=st.integers(0, 2**31))
def test_share_of_zeros_and_scale(p, seed):
    """A share p is zero, within six standard deviations; the rest is divided by 1 - p."""
    torch.manual_seed(seed)
    count = 20_000
    y = Dropout(p)(torch.full((count,), 3.0, dtype=torch.float64))
    zeros = int((y == 0).sum())
    assert abs(zeros - p * count) < 6 * math.sqrt(count * p * (1 - p))
    torch.testing.assert_close(y[y != 0], torch.full((count - zeros,), 3 / (1 - p)).double())


def test_values_are_dropped_independently():
    """Neighbours along every dim are dropped together as often as chance has it: a quarter."""
    dropped = Dropout(0.5)(torch.ones(200, 200)) == 0
    for first, second in (
        (dropped[:, 1:], dropped[:, :-1]),
        (dropped[1:], dropped[:-1]),
        (dropped, dropped.t()),
    ):
        both = (first & second).double().mean().item()
        assert abs(both - 0.25) < 0.02


@settings(deadline=None, max_examples=15)
@given(shape=st.lists(st.integers(0, 4), max_size=4))
def test_any_shape_is_taken(shape):
    """Scalars, empty tensors and any number of dims work, without a batch dim too."""
    x = torch.randn(shape, requires_grad=True)
    y = Dropout()(x)
    y.sum().backward()
    kept = y != 0
    torch.testing.assert_close(x.grad, kept * 2.0)
    torch.testing.assert_close(y, torch.where(kept, x * 2, 0.0))


def test_eval_and_zero_return_the_input():
    """In eval, and with p = 0, the input itself comes back."""
    x = torch.randn(5)
    assert Dropout(0.7).eval()(x) is x
    assert Dropout(1.0).eval()(x) is x
    assert Dropout(0)(x) is x


def test_one_drops_everything():
    """With p = 1 values and gradients are 0, and finite."""
    x = torch.randn(5, requires_grad=True)
    y = Dropout(1.0)(x)
    y.sum().backward()
    assert y.tolist() == [0] * 5
    assert x.grad.tolist() == [0] * 5


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_input_is_untouched(p):
    """The layer never writes into its input."""
    x = torch.randn(50)
    before = x.clone()
    Dropout(p)(x)
    assert torch.equal(x, before)


def test_nan_is_not_hidden():
    """Whether dropped or kept, NaN stays NaN, so that a guard can see it."""
    assert Dropout(0.5)(torch.full((64,), float("nan"))).isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(7,), (3, 4, 5)])
def test_one_draw_per_call(shape, dtype):
    """A call takes from the default generator what one float32 `rand` of its shape takes."""
    torch.manual_seed(3)
    numbers = torch.rand(shape)
    after_draw = torch.get_rng_state()
    torch.manual_seed(3)
    y = Dropout(0.3)(torch.ones(shape, dtype=dtype))
    assert torch.equal(torch.get_rng_state(), after_draw)
    expected = torch.where(numbers < 0.7, 1 / 0.7, 0.0)
    torch.testing.assert_close(y, expected.to(dtype))


def test_scale_has_full_precision():
    """In float64 the scale is 1 / (1 - p) to the last digits, not to float32's."""
    y = Dropout(0.3)(torch.ones(64, dtype=torch.float64))
    assert set(y.tolist()) == {0.0, 1 / (1 - 0.3)}


def test_device_and_memory_format_are_kept():
    """The mask is made where the input lies; a channels_last map stays one."""
    assert Dropout(0.5)(torch.ones(3, device="meta")).is_meta
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert Dropout(0.5)(x).is_contiguous(memory_format=torch.channels_last)


def test_no_draw_where_nothing_is_random():
    """Eval mode and p = 0 leave the generator alone; p = 1 draws like any other p."""
    state = torch.get_rng_state()
    x = torch.ones(9)
    Dropout(0.5).eval()(x)
    Dropout(0)(x)
    assert torch.equal(torch.get_rng_state(), state)
    Dropout(1.0)(x)
    assert not torch.equal(torch.get_rng_state(), state)


def test_restored_generator_repeats_the_masks():
    """Whoever restores the generator's state gets the same masks again."""
    layer, x = Dropout(0.4), torch.randn(4, 6)
    state = torch.get_rng_state()
    first = [layer(x) for _ in range(3)]
    torch.set_rng_state(state)
    for before, again in zip(first, [layer(x) for _ in range(3)], strict=True):
        assert torch.equal(before, again)
    assert not torch.equal(first[0], first[1])


def test_only_the_mask_is_saved():
    """Backward keeps the mask; the input's memory can go."""
    saved = []
    x = torch.randn(5, requires_grad=True) * 1
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: saved.append(tensor.data_ptr()) or tensor, lambda tensor: tensor
    ):
        Dropout(0.5)(x)
    assert len(saved) == 1
    assert saved != [x.data_ptr()]


def test_derivatives_pass_finite_differences():
    """Under one mask, first and second derivatives agree with finite differences."""
    layer = Dropout(0.5)

    def one_mask(x):
        torch.manual_seed(5)
        return layer(x)

    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(one_mask, x)
    assert gradgradcheck(one_mask, x)


def test_composes_with_transforms_and_compilation():
    """Under vmap each sample gets its own mask, tracing and compiling keep the layer working."""
    layer = Dropout(0.5)
    x = torch.ones(8, 64)
    y = vmap(layer, randomness="different")(x)
    assert len({tuple(row) for row in y.tolist()}) == 8
    slopes = vmap(grad(lambda z: layer(z).sum()), randomness="different")(x)
    assert set(slopes.unique().tolist()) == {0.0, 2.0}
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    for run in (compiled, torch.fx.symbolic_trace(nn.Sequential(layer))):
        torch.manual_seed(1)
        ours = run(x)
        torch.manual_seed(1)
        assert torch.equal(ours, layer(x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtype_is_kept(dtype):
    """The output keeps the dtype; low precision changes neither the share nor the scale."""
    y = Dropout(0.998)(torch.ones(100_000, dtype=dtype))
    assert y.dtype == dtype
    kept = y[y != 0]
    assert 130 < kept.numel() < 270  # 200, give or take five standard deviations
    torch.testing.assert_close(kept, torch.full_like(kept, 500.0))


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_impossible_probabilities_are_refused(p):
    """The message names what is possible and what was given."""
    with pytest.raises(OptionError) as caught:
        Dropout(p)
    assert str(caught.value) == f"Dropout expected p to be a probability in [0, 1], received {p!r}."


def test_is_an_ordinary_module():
    """No state, a repr with p, and copies by pickle."""
    layer = Dropout(0.3)
    assert not layer.state_dict()
    assert repr(layer) == "Dropout(p=0.3)"
    assert pickle.loads(pickle.dumps(layer)).p == 0.3
