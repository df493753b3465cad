"""SpectralBound against singular values, and its life as a parametrization."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck
from torch.nn.utils import parametrize

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.linear.linear import Linear
from layerwright.layers.regularization.spectral_bound import SpectralBound, bound_spectral_norm

# torch's own doing: what its compiler uses inside is deprecated
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def largest_singular_value(weight):
    """By torch's full decomposition."""
    return torch.linalg.svdvals(weight.detach().double().flatten(1))[0].item()


@settings(deadline=None, max_examples=40)
@given(
    outputs=st.integers(1, 5),
    inputs=st.integers(1, 5),
    kernel=st.lists(st.integers(1, 3), max_size=2),
    bound=st.sampled_from([0.1, 1.0, 5.0]),
    training=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_larger_norms_come_down_to_the_bound(outputs, inputs, kernel, bound, training, seed):
    """Above the bound the weight is scaled to it; below it stays as it is."""
    torch.manual_seed(seed)
    weight = torch.randn(outputs, inputs, *kernel, dtype=torch.float64)
    result = SpectralBound(weight, bound).train(training)(weight)
    norm = largest_singular_value(weight)
    # The power iteration nears the norm from below, so that the result errs upwards.
    torch.testing.assert_close(result, weight / max(1.0, norm / bound), rtol=0.01, atol=0.01)
    assert largest_singular_value(result) >= min(bound, norm) * (1 - 1e-6)
    if norm < bound:
        assert torch.equal(result, weight)


def test_the_norm_is_followed_while_the_weight_learns():
    """After each of many steps that make the weight grow, the norm is near the bound."""
    torch.manual_seed(0)
    layer = bound_spectral_norm(nn.Linear(6, 5), 2.0)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
    x = torch.randn(32, 6)
    for _ in range(100):
        optimizer.zero_grad()
        (-layer(x).square().mean()).backward()
        optimizer.step()
    assert largest_singular_value(layer.parametrizations.weight.original) > 3
    assert largest_singular_value(layer.eval().weight) == pytest.approx(2.0, rel=0.03)


def test_a_zero_weight_stays_finite_and_is_followed_once_it_grows():
    """A zero matrix has no direction; the vectors keep theirs, in new layers and in old ones."""
    zero, grown = torch.zeros(3, 4), torch.diag(torch.tensor([5.0, 1.0, 1.0, 1.0]))[:3]
    for start in (zero, grown):
        bounded = SpectralBound(start)
        assert bounded(zero).count_nonzero() == 0
        for _ in range(10):
            bounded(grown)
        assert largest_singular_value(bounded(grown)) == pytest.approx(1.0, rel=1e-4)


def test_gradient_takes_the_vectors_as_constants():
    """In eval mode the layer is a function of the weight that finite differences can follow."""
    weight = torch.randn(3, 4, dtype=torch.float64)
    for bound in (0.5, 100.0):
        layer = SpectralBound(weight, bound).eval()
        assert gradcheck(layer, weight.clone().requires_grad_())


def test_two_calls_before_backward():
    """A weight that is used twice, as by a discriminator, has the sum of both gradients."""
    layer = bound_spectral_norm(nn.Linear(3, 3), 0.1)
    x = torch.randn(4, 3)
    (layer(x).sum() + layer(2 * x).sum()).backward()
    assert layer.parametrizations.weight.original.grad.isfinite().all()


def test_autocast_leaves_the_bound_in_full_precision():
    """The weight is float32 and the same, inside of an autocast region and outside."""
    layer = bound_spectral_norm(nn.Linear(4, 3), 0.2).eval()
    with torch.autocast("cpu", torch.bfloat16):
        weight = layer.weight
    assert torch.equal(weight, layer.weight)
    assert weight.dtype == torch.float32


@COMPILER
def test_eval_changes_nothing_and_state_survives(tmp_path):
    """Eval mode leaves the vectors alone; they are saved, copied and loaded with the weight."""
    layer = bound_spectral_norm(Linear(4, 3), 0.2)
    x = torch.randn(5, 4)
    for _ in range(3):
        layer(x)
    layer.eval()
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    y = layer(x)
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items())
    torch.save(layer.state_dict(), tmp_path / "state.pt")
    fresh = bound_spectral_norm(Linear(4, 3), 0.2).eval()
    fresh.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert torch.equal(fresh(x), y)
    assert torch.equal(copy.deepcopy(layer)(x), y)
    torch._dynamo.reset()
    torch.testing.assert_close(torch.compile(layer, backend="aot_eager")(x), y)
    parametrize.remove_parametrizations(layer, "weight")
    assert torch.equal(layer(x), y)


def test_types_move_with_the_layer():
    """Vectors follow `to`; on the meta device a layer can be built."""
    layer = bound_spectral_norm(nn.Linear(4, 3), 0.2).to(torch.bfloat16)
    assert layer.weight.dtype == torch.bfloat16
    assert largest_singular_value(layer.weight) == pytest.approx(0.2, rel=0.05)
    meta = bound_spectral_norm(nn.Linear(4, 3, device="meta"))
    assert meta.weight.is_meta


def test_no_random_numbers_are_drawn():
    """Bounding a layer does not change what the next one is initialised with."""
    layer = nn.Linear(4, 3)
    state = torch.get_rng_state()
    bound_spectral_norm(layer)(torch.ones(1, 4))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"bound": 0.0},
            "SpectralBound expected bound to be a positive number, received 0.0.",
        ),
        (
            {"num_steps": 0},
            "SpectralBound expected num_steps to be a whole number from 1, received 0.",
        ),
        (
            {"name": "kernel"},
            (
                "bound_spectral_norm expected the name of a parameter of Linear, received "
                "'kernel'. Its own parameters: weight, bias."
            ),
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        bound_spectral_norm(nn.Linear(2, 3), **options)
    assert str(caught.value) == text


def test_a_vector_is_refused():
    """A bias has no singular values."""
    with pytest.raises(ShapeError) as caught:
        bound_spectral_norm(nn.Linear(2, 3), name="bias")
    assert str(caught.value) == (
        "SpectralBound expected a weight (out, in, ...), received (3,). "
        "Fix: leave this parameter as it is."
    )
