"""StochasticDepth: its distribution, its ends, and the random numbers it uses."""

import math
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck
from torch.func import vmap

from layerwright.errors import OptionError
from layerwright.layers.residual.stochastic_depth import StochasticDepth

# torch's own doing: what its compiler uses inside is deprecated
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


@settings(deadline=None, max_examples=20)
@given(p=st.floats(0.05, 0.95), seed=st.integers(0, 2**31))
def test_expectation_is_preserved(p, seed):
    """The mean over samples is the input's: y / x is 1 / (1 - p) with probability 1 - p.

    Its variance is (1 - p) / (1 - p)^2 - 1 = p / (1 - p), that of the mean of N of them a part N
    of it; six standard deviations are left to chance, which exceeds them once in 10^8 times.
    """
    torch.manual_seed(seed)
    count = 20_000
    y = StochasticDepth(p)(torch.full((count, 1), 3.0, dtype=torch.float64))
    assert abs(y.mean().item() / 3 - 1) < 6 * math.sqrt(p / (1 - p) / count)
    kept = y[y != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 3 / (1 - p)))


@settings(deadline=None, max_examples=20)
@given(shape=st.lists(st.integers(0, 4), max_size=4), seed=st.integers(0, 1000))
def test_samples_are_dropped_whole(shape, seed):
    """A sample is zero or scaled, all of it, in its gradient too; any shape is taken."""
    torch.manual_seed(seed)
    x = torch.randn(shape, requires_grad=True)
    y = StochasticDepth(0.5)(x)
    y.sum().backward()
    assert y.shape == x.shape
    for sample, got, slope in zip(
        *(t if t.dim() else t[None] for t in (x, y, x.grad)), strict=True
    ):
        factors = set(slope.flatten().tolist())
        assert factors <= {0.0, 2.0}
        assert len(factors) <= 1
        torch.testing.assert_close(got, sample * (factors.pop() if factors else 1))


def test_samples_are_dropped_independently():
    """Neighbours are dropped together as often as chance has it: a quarter, within 6 sigma."""
    count = 20_000
    dropped = StochasticDepth(0.5)(torch.ones(2 * count)).reshape(count, 2) == 0
    both = dropped.all(1).double().mean().item()
    assert abs(both - 0.25) < 6 * math.sqrt(0.25 * 0.75 / count)


def test_eval_and_zero_return_the_input():
    """In eval, and with p = 0, the input itself comes back and no number is drawn."""
    x, state = torch.randn(5, 2), torch.get_rng_state()
    assert StochasticDepth(0.7).eval()(x) is x
    assert StochasticDepth(1.0).eval()(x) is x
    assert StochasticDepth(0)(x) is x
    assert torch.equal(torch.get_rng_state(), state)


def test_one_drops_everything():
    """With p = 1 values and gradients are 0, and finite."""
    x = torch.randn(5, 2, requires_grad=True)
    y = StochasticDepth(1.0)(x)
    y.sum().backward()
    assert y.abs().max() == 0
    assert x.grad.abs().max() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_one_number_for_each_sample(dtype):
    """A call takes from the default generator what a float32 `rand` of N numbers takes."""
    torch.manual_seed(3)
    numbers = torch.rand(50)
    after_draw = torch.get_rng_state()
    torch.manual_seed(3)
    y = StochasticDepth(0.3)(torch.ones(50, 2, 3, dtype=dtype))
    assert y.dtype == dtype
    assert torch.equal(torch.get_rng_state(), after_draw)
    expected = torch.where(numbers < 0.7, 1 / 0.7, 0.0)[:, None, None].expand(50, 2, 3)
    torch.testing.assert_close(y, expected.to(dtype))


def test_derivatives_pass_finite_differences():
    """Under one mask the gradient agrees with finite differences."""
    layer = StochasticDepth(0.5)

    def one_mask(x):
        torch.manual_seed(5)
        return layer(x)

    assert gradcheck(one_mask, torch.randn(4, 3, dtype=torch.float64, requires_grad=True))


@COMPILER
def test_composes_with_transforms_and_compilation():
    """Under vmap each sample gets its own number; traced, compiled and exported it still drops."""
    layer, x = StochasticDepth(0.5), torch.ones(64, 1, 3)
    y = vmap(layer, randomness="different")(x)
    assert set(y.flatten().tolist()) == {0.0, 2.0}
    assert torch.equal(y, y[..., :1].expand_as(y))
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    free = {"x": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(layer, (torch.ones(2, 1, 3),), dynamic_shapes=free).module()
    for run in (compiled, torch.fx.symbolic_trace(nn.Sequential(layer)), exported):
        torch.manual_seed(1)
        ours = run(x)
        torch.manual_seed(1)
        assert torch.equal(ours, layer(x))


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_impossible_probabilities_are_refused(p):
    """The message names what is possible and what was given."""
    with pytest.raises(OptionError) as caught:
        StochasticDepth(p)
    assert str(caught.value) == (
        f"StochasticDepth expected p to be a probability in [0, 1], received {p!r}."
    )


def test_is_an_ordinary_module():
    """No state, a repr with p, and copies by pickle."""
    layer = StochasticDepth(0.3)
    assert not layer.state_dict()
    assert repr(layer) == "StochasticDepth(p=0.3)"
    assert pickle.loads(pickle.dumps(layer)).p == 0.3
