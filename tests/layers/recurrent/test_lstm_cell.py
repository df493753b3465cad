"""LSTMCell against torch's kernel, step by step and over whole sequences."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.func import grad, vmap

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.recurrent.lstm_cell import LSTMCell


def pair(input_size=3, hidden_size=4, *, bias=True):
    """Return our cell and torch's with the same parameters, in float64."""
    ours = LSTMCell(input_size, hidden_size, bias, dtype=torch.float64)
    theirs = nn.LSTMCell(input_size, hidden_size, bias, dtype=torch.float64)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def graded(layer, run, *leaves):
    """Return what `run` gives and the gradients of the leaves and of the layer's parameters."""
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    outputs = run(layer, *leaves)
    loss = sum((place + 1) * out.pow(3).sum() for place, out in enumerate(outputs))
    return [*outputs, *torch.autograd.grad(loss, [*leaves, *layer.parameters()])]


def assert_same(got, wanted):
    """Compare to ten digits."""
    for ours, theirs in zip(got, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-10, rtol=1e-10)


@settings(deadline=None, max_examples=20)
@given(
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    batch=st.integers(0, 4),
    bias=st.booleans(),
    state=st.booleans(),
)
def test_one_step_is_torchs(sizes, batch, bias, state):
    """State and all gradients are those of `torch.nn.LSTMCell`, with and without a state."""
    ours, theirs = pair(*sizes, bias=bias)
    x = torch.randn(batch, sizes[0], dtype=torch.float64)
    states = [torch.randn(batch, sizes[1], dtype=torch.float64) for _ in range(2 * state)]
    run = lambda layer, x, *states: layer(x, states or None)  # noqa: E731
    assert_same(graded(ours, run, x, *states), graded(theirs, run, x, *states))


def test_a_sequence_is_torchs_kernel():
    """Twenty steps of the cell are `torch.nn.LSTM`: all answers, the last state, all gradients."""
    cell = LSTMCell(3, 4, dtype=torch.float64)
    kernel = nn.LSTM(3, 4, dtype=torch.float64)
    kernel.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    x, h, c = (torch.randn(shape, dtype=torch.float64) for shape in ((20, 2, 3), (2, 4), (2, 4)))

    def by_steps(layer, x, h, c):
        answers = []
        for step in x:
            h, c = layer(step, (h, c))
            answers.append(h)
        return torch.stack(answers), h, c

    def at_once(layer, x, h, c):
        answers, (h, c) = layer(x, (h[None], c[None]))
        return answers, h[0], c[0]

    assert_same(graded(cell, by_steps, x, h, c), graded(kernel, at_once, x, h, c))


def test_one_step_number_by_number():
    """A cell of one feature, with Python's own arithmetic."""
    sigmoid = lambda value: 1 / (1 + math.exp(-value))  # noqa: E731
    cell = LSTMCell(1, 1, dtype=torch.float64)
    values = [[2.0, -1.0, 0.5, 0.25], [0.1, 0.2, 0.3, 0.4], [1.0, 2.0, 3.0, 4.0], [0.5, 0, 0, -3.0]]
    for parameter, numbers in zip(cell.parameters(), values, strict=True):
        parameter.data.copy_(torch.tensor(numbers, dtype=torch.float64).reshape(parameter.shape))
    x, h, c = 0.7, -0.3, 1.1
    i, f, g, o = (w * x + u * h + b + d for w, u, b, d in zip(*values, strict=True))
    c_next = sigmoid(f) * c + sigmoid(i) * math.tanh(g)
    h_next = sigmoid(o) * math.tanh(c_next)
    one = lambda value: torch.tensor([value], dtype=torch.float64)  # noqa: E731
    found = cell(one(x), (one(h), one(c)))
    assert [value.item() for value in found] == pytest.approx([h_next, c_next], abs=1e-14)


def test_any_dims_before_the_features():
    """No batch and several batch dims give the same as one batch."""
    cell = LSTMCell(3, 4)
    x, h, c = torch.randn(2, 5, 3), torch.randn(2, 5, 4), torch.randn(2, 5, 4)
    wanted = cell(x, (h, c))
    for ours, one in zip(wanted, cell(x[1, 2], (h[1, 2], c[1, 2])), strict=True):
        torch.testing.assert_close(ours[1, 2], one)


def test_derivatives_pass_finite_differences():
    """First and second derivatives agree with finite differences."""
    cell = LSTMCell(2, 3, dtype=torch.float64)
    leaves = [torch.randn(2, size, dtype=torch.float64, requires_grad=True) for size in (2, 3, 3)]
    run = lambda x, h, c: cell(x, (h, c))  # noqa: E731
    assert gradcheck(run, leaves)
    assert gradgradcheck(run, leaves)


def test_composes_with_transforms_compilation_and_export():
    """Per-sample gradients, tracing, a compiled graph and an exported one give the eager result."""
    cell = LSTMCell(3, 4, dtype=torch.float64)
    x = torch.randn(5, 3, dtype=torch.float64)
    loss = lambda z: sum(part.square().sum() for part in cell(z))  # noqa: E731
    torch.testing.assert_close(vmap(grad(loss))(x), grad(loss)(x))
    torch._dynamo.reset()
    state = (torch.randn(5, 4).double(), torch.randn(5, 4).double())
    runs = [
        torch.compile(cell, backend="aot_eager", fullgraph=True),
        torch.fx.symbolic_trace(cell),
        torch.export.export(cell, (x, state)).module(),
    ]
    for run in runs:
        torch.testing.assert_close(run(x, state), cell(x, state))


def test_bfloat16_stays_bfloat16():
    """Half precision goes in and comes out, near the exact answer."""
    cell = LSTMCell(3, 4)
    x = torch.randn(2, 3)
    wanted, found = cell(x), copy.deepcopy(cell).bfloat16()(x.bfloat16())
    for ours, exact in zip(found, wanted, strict=True):
        assert ours.dtype == torch.bfloat16
        torch.testing.assert_close(ours.float(), exact, atol=2e-2, rtol=2e-2)


def test_start_and_device():
    """Parameters start uniform in ±1/sqrt(hidden_size), on the device that is asked for."""
    cell = LSTMCell(50, 100)
    for parameter in cell.parameters():
        assert 0.09 < parameter.abs().max() <= 0.1
        assert parameter.min() < 0 < parameter.max()
    assert {p.device.type for p in LSTMCell(2, 3, device="meta").parameters()} == {"meta"}
    assert LSTMCell(2, 3, bias=False).bias_ih is None


@pytest.mark.parametrize("size", [0, -1, 2.0, "3"], ids=repr)
def test_impossible_sizes_are_refused(size):
    """The message names the size, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        LSTMCell(3, size)
    assert str(caught.value) == (
        f"LSTMCell expected hidden_size to be a whole number from 1, received {size!r}."
    )


def test_tensors_that_do_not_fit_are_refused():
    """The message names what fits."""
    cell = LSTMCell(3, 4)
    with pytest.raises(ShapeError) as caught:
        cell(torch.zeros(2, 5))
    assert str(caught.value) == (
        "LSTMCell expected x of shape (..., 3), received (2, 5). "
        "Fix: make the last dim 3, or build the layer with another input_size."
    )
    with pytest.raises(ShapeError) as caught:
        cell(torch.zeros(2, 3), (torch.zeros(2, 4), torch.zeros(4)))
    assert str(caught.value) == (
        "LSTMCell expected h and c of shape (2, 4), received (2, 4) and (4,)."
    )
    with pytest.raises(ShapeError, match=r"received \(\)"):
        cell(torch.zeros(()))


def test_repr_shows_the_arguments():
    """Printing shows sizes and bias."""
    assert repr(LSTMCell(3, 4)) == "LSTMCell(input_size=3, hidden_size=4, bias=True)"
