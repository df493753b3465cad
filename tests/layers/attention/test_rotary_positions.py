"""RotaryPositions against turns of complex numbers, one by one."""

import cmath

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.attention.rotary_positions import RotaryPositions

# torch's own doing: what its compiler uses inside is deprecated
COMPILER = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")


def turned_one_by_one(row, position, base, *, interleaved):
    """A row of numbers, each pair turned as a complex number."""
    size = len(row)
    turned = [0.0] * size
    for i in range(size // 2):
        a, b = (2 * i, 2 * i + 1) if interleaved else (i, i + size // 2)
        number = complex(row[a], row[b]) * cmath.exp(1j * position * base ** (-2 * i / size))
        turned[a], turned[b] = number.real, number.imag
    return turned


@settings(deadline=None, max_examples=30)
@given(
    shape=st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 4)),
    pairs=st.integers(1, 4),
    base=st.floats(2, 20_000),
    interleaved=st.booleans(),
    start=st.integers(-5, 100_000),
)
def test_agrees_with_complex_numbers(shape, pairs, base, interleaved, start):
    """Every pair of every row turns by its position times its frequency, from any start."""
    x = torch.randn(*shape, 2 * pairs, dtype=torch.float64)
    got = RotaryPositions(2 * pairs, base, interleaved=interleaved)(x, start)
    for row, y in zip(x.flatten(0, 1), got.flatten(0, 1), strict=True):
        for t in range(shape[-1]):
            wanted = turned_one_by_one(row[t].tolist(), start + t, base, interleaved=interleaved)
            assert y[t].tolist() == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("interleaved", [True, False])
def test_each_sequence_has_its_start(interleaved):
    """A tensor of starts gives each sequence what the number alone gives it."""
    layer = RotaryPositions(4, interleaved=interleaved)
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    got = layer(x, torch.tensor([[-2], [7]]))
    torch.testing.assert_close(got[0], layer(x[0], -2))
    torch.testing.assert_close(got[1], layer(x[1], 7))


@pytest.mark.parametrize("interleaved", [True, False])
def test_products_depend_on_distance(interleaved):
    """Query times key is the same wherever the two stand, and differs with their distance."""
    layer = RotaryPositions(8, interleaved=interleaved)
    q, k = torch.randn(2, 1, 8, dtype=torch.float64)
    products = torch.tensor([layer(q, 3 + s)[0] @ layer(k, s)[0] for s in (0, 11, 500)])
    torch.testing.assert_close(products, products[:1].expand(3))
    assert abs(layer(q, 4)[0] @ layer(k, 0)[0] - products[0]) > 1e-3


def test_length_is_kept():
    """A turn changes no length, so values keep their scale; position 0 is not turned."""
    x = torch.randn(3, 6, 8, dtype=torch.float64)
    y = RotaryPositions(8)(x)
    torch.testing.assert_close(y.norm(dim=-1), x.norm(dim=-1))
    assert torch.equal(y[:, 0], x[:, 0])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_angles_stay_precise(dtype):
    """In any dtype the angles are float32's, at positions that the dtype cannot count to."""
    layer = RotaryPositions(8).to(dtype)
    x = torch.randn(5, 8).to(dtype)
    wanted = layer(x.double(), 30_000)
    got = layer(x, 30_000)
    assert got.dtype == dtype
    # one rounding of the result, and 30,000 / 2**24 of the angle
    torch.testing.assert_close(
        got.double(), wanted, rtol=torch.finfo(dtype).eps, atol=4 * 30_000 / 2**24
    )


def test_calls_leave_nothing_behind():
    """No state: a call in inference mode, of any length, does not disturb training after it."""
    layer = RotaryPositions(4)
    before = dict(vars(layer))
    with torch.inference_mode():
        layer(torch.randn(5000, 4))
    x = torch.randn(6000, 4, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.isfinite().all()
    assert vars(layer) == before
    assert not layer.state_dict()


def test_derivatives_pass_finite_differences():
    """The gradient turns back."""
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert gradcheck(RotaryPositions(4), (x, 3))
    assert gradcheck(RotaryPositions(4, interleaved=True), (x, torch.tensor([5, 0])))


@COMPILER
@pytest.mark.parametrize("interleaved", [True, False])
def test_composes_with_compilation_export_and_vmap(interleaved):
    """A compiled graph, an exported one of free length, a trace and vmap give the eager result."""
    layer = RotaryPositions(4, interleaved=interleaved)
    x = torch.randn(2, 3, 4)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, 5), layer(x, 5))
    torch.testing.assert_close(torch.fx.symbolic_trace(nn.Sequential(layer))(x), layer(x))
    torch.testing.assert_close(torch.func.vmap(layer)(x), layer(x))
    free = {"x": {1: torch.export.Dim("length")}, "start": None}
    program = torch.export.export(layer, (x, 5), dynamic_shapes=free).module()
    longer = torch.randn(2, 9000, 4)
    torch.testing.assert_close(program(longer, 5), layer(longer, 5))


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((3,), "head_dim to be an even number from 2, received 3."),
        ((0,), "head_dim to be an even number from 2, received 0."),
        ((2, 0.0), "base to be a positive number, received 0.0."),
    ],
)
def test_impossible_options_are_refused(args, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        RotaryPositions(*args)
    assert str(caught.value) == f"RotaryPositions expected {text}"


@pytest.mark.parametrize("shape", [(4,), (3, 2), (2, 3, 8)])
def test_inputs_that_do_not_fit_are_refused(shape):
    """Rows of another size would be turned by other frequencies."""
    with pytest.raises(ShapeError) as caught:
        RotaryPositions(4)(torch.zeros(shape))
    assert str(caught.value) == (
        f"RotaryPositions expected (..., L, 4), received {shape}. "
        f"Fix: split the heads first, or build it with another head_dim."
    )


def test_repr_shows_the_options():
    """Printing shows size, base and pairing."""
    assert repr(RotaryPositions(4)) == "RotaryPositions(4, base=10000.0, interleaved=False)"
