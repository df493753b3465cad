"""LSTM, BiLSTM, GRU and BiGRU against torch's packed sequences and against loops."""

import copy
import math
from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.recurrent.bigru import BiGRU
from layerwright.layers.recurrent.bilstm import BiLSTM
from layerwright.layers.recurrent.gru import GRU
from layerwright.layers.recurrent.lstm import LSTM

LAYERS = [LSTM, BiLSTM, GRU, BiGRU]
EVERY_LAYER = pytest.mark.parametrize("cls", LAYERS)


def torchs(layer):
    """Return torch's layer with the parameters of ours."""
    kind = nn.LSTM if layer.kind == "lstm" else nn.GRU
    theirs = kind(
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        layer.bias,
        batch_first=True,
        bidirectional=layer.num_directions == 2,
        dtype=layer.weight_ih_l0.dtype,
    )
    theirs.load_state_dict(layer.state_dict())  # same names, same shapes
    return theirs


def tuple_of(states):
    """Return the states as a tuple, also the only one."""
    return states if isinstance(states, tuple) else (states,)


def states_for(layer, *outer):
    """Draw initial states as the layer wants them."""
    shape = (layer.num_layers * layer.num_directions, *outer, layer.hidden_size)
    states = tuple(torch.randn(shape, dtype=torch.float64) for _ in range(layer.num_states))
    return states if len(states) > 1 else states[0]


def graded(layer, run, x, states):
    """Return answers, last states and the gradients of input, initial states and parameters."""
    leaves = [leaf.clone().requires_grad_() for leaf in (x, *tuple_of(states))]
    hx = tuple(leaves[1:]) if len(leaves) > 2 else leaves[1]
    y, last = run(layer, leaves[0], hx)
    outputs = [y, *tuple_of(last)]
    loss = sum((place + 1) * out.pow(3).sum() for place, out in enumerate(outputs))
    return [*outputs, *torch.autograd.grad(loss, [*leaves, *layer.parameters()])]


def sigmoid(value):
    """The logistic function of a number."""
    return 1 / (1 + math.exp(-value))


def naive_direction(kind, steps, state, weights):
    """Run one direction of one layer in plain Python; return the answers and the last state.

    Args:
        kind: "lstm" or "gru".
        steps: a list of (number of the step, list of features), in the order of reading.
        state: a list of lists: h, and c for an LSTM.
        weights: weight_ih, weight_hh, bias_ih, bias_hh as nested lists.
    """
    w, u, b, d = weights
    size = len(state[0])
    answers = {}
    for number, x in steps:
        h = state[0]
        from_x = [sum(p * q for p, q in zip(row, x, strict=True)) for row in w]
        from_h = [sum(p * q for p, q in zip(row, h, strict=True)) for row in u]
        from_x = [value + bias for value, bias in zip(from_x, b, strict=True)]
        from_h = [value + bias for value, bias in zip(from_h, d, strict=True)]
        new_h, new_c = [], []
        for k in range(size):
            rows = range(k, len(w), size)
            if kind == "lstm":
                i, f, g, o = (from_x[row] + from_h[row] for row in rows)
                new_c.append(sigmoid(f) * state[1][k] + sigmoid(i) * math.tanh(g))
                new_h.append(sigmoid(o) * math.tanh(new_c[-1]))
            else:
                (xr, xz, xn), (hr, hz, hn) = (
                    [values[row] for row in rows] for values in (from_x, from_h)
                )
                z = sigmoid(xz + hz)
                new_h.append((1 - z) * math.tanh(xn + sigmoid(xr + hr) * hn) + z * h[k])
        state = [new_h, new_c] if kind == "lstm" else [new_h]
        answers[number] = new_h
    return answers, state


def naive(layer, x, exists, states):
    """Run a layer on one sequence, in plain Python over the steps that exist."""
    rows, last = [list(row) for row in x.tolist()], []
    for number in range(layer.num_layers):
        found = []
        for suffix in ("", "_reverse")[: layer.num_directions]:
            kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            weights = [getattr(layer, f"{kind}_l{number}{suffix}").tolist() for kind in kinds]
            steps = [(t, rows[t]) for t in range(len(rows)) if exists[t]]
            start = [state[len(last)].tolist() for state in states]
            answers, state = naive_direction(
                layer.kind, steps[::-1] if suffix else steps, start, weights
            )
            found.append(answers)
            last.append(state)
        nothing = [0.0] * layer.hidden_size
        rows = [list(chain(*(a.get(t, nothing) for a in found))) for t in range(len(rows))]
    width = layer.hidden_size * layer.num_directions
    y = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), width)
    return y, [torch.tensor(part, dtype=torch.float64) for part in zip(*last, strict=True)]


@settings(deadline=None, max_examples=30)
@given(
    cls=st.sampled_from(LAYERS),
    num_layers=st.integers(1, 2),
    exists=st.lists(st.booleans(), max_size=6),
    form=st.sampled_from(["mask", "lengths"]),
)
def test_agrees_with_loops_over_the_steps_that_exist(cls, num_layers, exists, form):
    """Without a batch: any mask or length, none and all hidden included, with an initial state."""
    layer = cls(2, 3, num_layers, dtype=torch.float64)
    exists = sorted(exists, reverse=True) if form == "lengths" else exists
    x, hx = torch.randn(len(exists), 2, dtype=torch.float64), states_for(layer)
    wanted, wanted_last = naive(layer, x, exists, tuple_of(hx))
    steps = torch.tensor(exists, dtype=torch.bool)
    y, last = layer(x, **{form: steps if form == "mask" else steps.sum()}, hx=hx)
    torch.testing.assert_close(y, wanted, atol=1e-12, rtol=1e-12)
    for ours, theirs in zip(tuple_of(last), wanted_last, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


@EVERY_LAYER
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_lengths_give_what_packing_gives(cls, bias, num_layers):
    """Answers, states and all gradients are those of torch's layer on a packed sequence."""
    layer = cls(3, 4, num_layers, bias, dtype=torch.float64)
    x, lengths = torch.randn(5, 6, 3, dtype=torch.float64), torch.tensor([3, 6, 1, 2, 5])
    hx = states_for(layer, 5)

    def packed(theirs, x, hx):
        y, last = theirs(pack_padded_sequence(x, lengths, True, False), hx)
        return pad_packed_sequence(y, True)[0], last

    ours = graded(layer, lambda layer, x, hx: layer(x, lengths, hx=hx), x, hx)
    for got, wanted in zip(ours, graded(torchs(layer), packed, x, hx), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-12, rtol=1e-12)


@EVERY_LAYER
def test_whole_sequences_give_what_torchs_layer_gives(cls):
    """Without lengths, and with those of whole sequences, the answers are torch's."""
    layer = cls(3, 4, 2, dtype=torch.float64)
    x, hx = torch.randn(5, 6, 3, dtype=torch.float64), states_for(layer, 5)
    wanted = graded(torchs(layer), lambda layer, x, hx: layer(x, hx), x, hx)
    given = [{}, {"lengths": torch.full((5,), 6)}, {"mask": torch.ones(5, 6, dtype=torch.bool)}]
    for steps in given:
        ours = graded(layer, lambda layer, x, hx, s=steps: layer(x, hx=hx, **s), x, hx)
        for got, exact in zip(ours, wanted, strict=True):
            torch.testing.assert_close(got, exact, atol=1e-12, rtol=1e-12)


@EVERY_LAYER
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_padding_has_no_effect_at_all(cls, dtype):
    """NaN in it changes no bit of answers, states and gradients, and its own gradient is zero."""
    layer = cls(3, 4, 2, dtype=dtype)
    x, lengths = torch.randn(4, 5, 3, dtype=dtype), torch.tensor([2, 5, 0, 4])
    padding = torch.arange(5) >= lengths[:, None]
    results = []
    for filling in (0.0, math.nan):
        leaf = x.masked_fill(padding[..., None], filling).requires_grad_()
        y, last = layer(leaf, lengths)
        loss = y.float().square().sum() + sum(part.float().sum() for part in tuple_of(last))
        grads = torch.autograd.grad(loss, [leaf, *layer.parameters()])
        assert not y[padding].any()
        assert not grads[0][padding].any()
        assert {part.dtype for part in (y, *tuple_of(last), *grads)} == {dtype}
        results.append([y, *tuple_of(last), *grads])
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)


@EVERY_LAYER
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_memory_survives_a_long_padding(cls, dtype):
    """The last state of a short sequence is the same, however long the padding is."""
    layer = cls(3, 4, dtype=dtype)
    for parameter in layer.parameters():
        parameter.data.mul_(20)  # gates that are far from the middle
    x = torch.randn(2, 300, 3, dtype=dtype)
    lengths = torch.tensor([4, 300])
    for longer, shorter in zip(
        tuple_of(layer(x, lengths)[1]), tuple_of(layer(x[:, :9], lengths)[1]), strict=True
    ):
        torch.testing.assert_close(longer[:, 0], shorter[:, 0], atol=1e-6, rtol=1e-5)


@EVERY_LAYER
@pytest.mark.parametrize("shape", [(0, 5, 3), (4, 0, 3), (0, 0, 3), (0, 3), (1, 1, 3)], ids=str)
def test_smallest_batches_and_sequences(cls, shape):
    """Batches of none and one, sequences of no and one step: shapes as always, state kept."""
    layer = cls(3, 4, 2, dtype=torch.float64)
    x, hx = torch.randn(shape, dtype=torch.float64), states_for(layer, *shape[:-2])
    y, last = layer(x, torch.zeros(shape[:-2], dtype=torch.int32), hx=hx)
    assert y.shape == (*shape[:-1], 4 * layer.num_directions)
    assert not y.any()
    for ours, start in zip(tuple_of(last), tuple_of(hx), strict=True):
        assert torch.equal(ours, start)
    assert layer(x)[0].shape == y.shape


@EVERY_LAYER
def test_lengths_outside_of_the_sequence_count_as_its_ends(cls):
    """Below zero is zero, above T is T."""
    layer, x = cls(3, 4), torch.randn(2, 5, 3)
    odd, right = (layer(x, torch.tensor(lengths)) for lengths in ([-3, 9], [0, 5]))
    torch.testing.assert_close(odd, right)


@EVERY_LAYER
def test_dropout_lies_between_layers_and_only_in_training(cls):
    """With p = 1 the second layer reads zeros; eval mode, and the last layer, drop nothing."""
    layer, x = cls(3, 4, 2, dropout=1.0, dtype=torch.float64), torch.randn(2, 5, 3).double()
    exact = torchs(layer)(x)[0]
    torch.testing.assert_close(layer.eval()(x)[0], exact)
    dropped = layer.train()(x)[0]
    assert dropped.any()
    assert torch.equal(dropped, layer(x + 1)[0])
    single = cls(3, 4, 1, dropout=1.0)
    assert torch.equal(single(x.float())[0], single.eval()(x.float())[0])


@EVERY_LAYER
def test_derivatives_pass_finite_differences(cls):
    """Gradients of input, states and weights through lengths agree with finite differences."""
    layer = cls(2, 2, dtype=torch.float64)
    x = torch.randn(3, 3, 2, dtype=torch.float64, requires_grad=True)
    hx = [state.requires_grad_() for state in tuple_of(states_for(layer, 3))]

    def run(x, *hx):
        y, last = layer(x, torch.tensor([2, 0, 3]), hx=hx if len(hx) > 1 else hx[0])
        return (y, *tuple_of(last))

    assert gradcheck(run, (x, *hx))


@pytest.mark.parametrize(
    ("cls", "form"),
    [
        (LSTM, None),
        (LSTM, "lengths"),
        (LSTM, "mask"),
        (BiLSTM, "lengths"),
        (GRU, None),
        (BiGRU, "mask"),
    ],
)
def test_composes_with_tracing_compilation_and_export(cls, form):
    """A traced, a compiled and an exported layer are one graph and give the eager result."""
    layer, x = cls(3, 4, dtype=torch.float64), torch.randn(4, 3, 3, dtype=torch.float64)
    lengths = torch.tensor([2, 3, 0, 1])
    steps = {"lengths": lengths, "mask": torch.arange(3) >= 3 - lengths[:, None]}
    steps = {form: steps[form]} if form else {}
    wanted = layer(x, **steps)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager", fullgraph=True)
    program = torch.export.export(layer, (x,), steps)
    for run in (compiled, torch.fx.symbolic_trace(layer), program.module()):
        torch.testing.assert_close(run(x, **steps), wanted)


@EVERY_LAYER
def test_autocast_computes_in_its_type(cls):
    """Under autocast the answers come near the exact ones, in one of the two types."""
    layer, x, lengths = cls(3, 4, 2), torch.randn(4, 5, 3), torch.tensor([2, 5, 0, 4])
    with torch.autocast("cpu", torch.bfloat16):
        y, last = layer(x, lengths)
    exact, exact_last = layer(x, lengths)
    torch.testing.assert_close(y.float(), exact, atol=3e-2, rtol=3e-2)
    for got, wanted in zip(tuple_of(last), tuple_of(exact_last), strict=True):
        torch.testing.assert_close(got.float(), wanted, atol=3e-2, rtol=3e-2)


@EVERY_LAYER
def test_start_copies_and_device(cls):
    """Parameters start uniform in ±1/sqrt(hidden_size); a copy is equal and apart."""
    layer = cls(50, 100, 2)
    for parameter in layer.parameters():
        assert 0.09 < parameter.abs().max() <= 0.1
    twin, x = copy.deepcopy(layer), torch.randn(2, 3, 50)
    assert torch.equal(twin(x)[0], layer(x)[0])
    twin.reset_parameters()
    assert not torch.equal(twin(x)[0], layer(x)[0])
    assert {p.device.type for p in cls(2, 3, device="meta").parameters()} == {"meta"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"input_size": 0, "hidden_size": 4},
            "LSTM expected input_size to be a whole number from 1, received 0.",
        ),
        (
            {"input_size": 3, "hidden_size": 4, "num_layers": 1.5},
            "LSTM expected num_layers to be a whole number from 1, received 1.5.",
        ),
        (
            {"input_size": 3, "hidden_size": 4, "dropout": 2},
            "LSTM expected dropout to be a probability in [0, 1], received 2.",
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message names the option, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        LSTM(**options)
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"x": torch.zeros(4, 5, 2)},
            (
                "BiLSTM expected (N, T, 3) or (T, 3), received (4, 5, 2). Fix: features last and "
                "samples first, or build the layer with another input_size."
            ),
        ),
        (
            {"x": torch.zeros(3)},
            (
                "BiLSTM expected (N, T, 3) or (T, 3), received (3,). Fix: features last and "
                "samples first, or build the layer with another input_size."
            ),
        ),
        (
            {"lengths": torch.ones(3, dtype=torch.int64)},
            (
                "BiLSTM expected lengths to be whole numbers of shape (4,), one for each sequence, "
                "received torch.int64 of shape (3,)."
            ),
        ),
        (
            {"lengths": torch.ones(4)},
            (
                "BiLSTM expected lengths to be whole numbers of shape (4,), one for each sequence, "
                "received torch.float32 of shape (4,)."
            ),
        ),
        (
            {"lengths": torch.ones(4, dtype=torch.bool)},
            (
                "BiLSTM expected lengths to be whole numbers of shape (4,), one for each sequence, "
                "received torch.bool of shape (4,)."
            ),
        ),
        (
            {"mask": torch.ones(4, 5)},
            (
                "BiLSTM expected mask to be torch.bool of shape (4, 5), True where a step exists, "
                "received torch.float32 of shape (4, 5)."
            ),
        ),
        (
            {"hx": (torch.zeros(1, 4, 4), torch.zeros(2, 4, 4))},
            (
                "BiLSTM expected hx to hold h and c of shape (2, 4, 4), received (1, 4, 4), "
                "(2, 4, 4)."
            ),
        ),
        (
            {"hx": torch.zeros(2, 4, 4)},
            "BiLSTM expected hx to hold h and c of shape (2, 4, 4), received (2, 4, 4).",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(arguments, text):
    """The message names what fits."""
    with pytest.raises(ShapeError) as caught:
        BiLSTM(3, 4)(**{"x": torch.zeros(4, 5, 3), **arguments})
    assert str(caught.value) == text


def test_lengths_and_mask_are_one_too_many():
    """Both at once would leave open which holds."""
    steps = {"lengths": torch.tensor([1]), "mask": torch.ones(1, 2, dtype=torch.bool)}
    with pytest.raises(OptionError) as caught:
        GRU(3, 4)(torch.zeros(1, 2, 3), **steps)
    assert str(caught.value) == "GRU expected lengths or mask, received both."


def test_repr_shows_the_arguments():
    """Printing shows sizes and options."""
    assert repr(BiGRU(3, 4, 2, dropout=0.5)) == (
        "BiGRU(input_size=3, hidden_size=4, num_layers=2, bias=True, dropout=0.5)"
    )
