"""TreeLSTM against a recursion in plain Python, and against torch's LSTM on chains."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.recurrent.tree_levels import levels_of
from layerwright.layers.recurrent.tree_lstm import TreeLSTM

SIZES = (2, 3)  # of input and state, in these tests


@st.composite
def forests(draw):
    """Draw the parents of a forest: trees of any shape, nodes in any order."""
    num_nodes = draw(st.integers(0, 9))
    parent = [draw(st.integers(-1, node - 1)) for node in range(num_nodes)]
    names = draw(st.permutations(range(num_nodes)))
    shuffled = [-1] * num_nodes
    for node, above in enumerate(parent):
        shuffled[names[node]] = -1 if above < 0 else names[above]
    return shuffled


def sigmoid(value):
    """The logistic function of a number."""
    return 1 / (1 + math.exp(-value))


def recursion(layer, x, parent):
    """Return h and c of all nodes: each asks its children, with numbers and lists."""
    x, w, u = (tensor.tolist() for tensor in (x, layer.weight_ih, layer.weight_hh))
    size = layer.hidden_size
    bias = [0.0] * (4 * size) if layer.bias is None else layer.bias.tolist()
    dot = lambda p, q: sum(a * b for a, b in zip(p, q, strict=True))  # noqa: E731
    h, c = {}, {}

    def visit(node):
        children = [child for child, above in enumerate(parent) if above == node]
        for child in children:
            visit(child)
        h_sum = [sum(h[child][k] for child in children) for k in range(size)]
        h[node], c[node] = [], []
        for k in range(size):
            gate = lambda number, state, k=k: (  # noqa: E731
                dot(w[number * size + k], x[node])
                + bias[number * size + k]
                + dot(u[number * size + k], state)
            )
            memory = sigmoid(gate(0, h_sum)) * math.tanh(gate(2, h_sum))
            for child in children:
                memory += sigmoid(gate(1, h[child])) * c[child][k]
            c[node].append(memory)
            h[node].append(sigmoid(gate(3, h_sum)) * math.tanh(memory))

    for node, above in enumerate(parent):
        if above < 0:
            visit(node)
    return tuple(
        torch.tensor([part[node] for node in range(len(parent))], dtype=torch.float64).reshape(
            -1, size
        )
        for part in (h, c)
    )


@settings(deadline=None, max_examples=60)
@given(parent=forests(), bias=st.booleans())
def test_agrees_with_the_recursion(parent, bias):
    """Any forest, its nodes in any order, none at all included."""
    layer = TreeLSTM(*SIZES, bias, dtype=torch.float64)
    x = torch.randn(len(parent), SIZES[0], dtype=torch.float64)
    found = layer(x, torch.tensor(parent, dtype=torch.int64))
    torch.testing.assert_close(found, recursion(layer, x, parent), atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize(
    "parent",
    [[-1], [-1, -1, -1], [1, 2, 3, -1], [-1, 0, 1, 2], [2, 2, -1, 2, 2]],
    ids=["single node", "single nodes", "chain up", "chain down", "star"],
)
def test_plain_shapes(parent):
    """Single nodes, chains and stars agree with the recursion."""
    layer = TreeLSTM(*SIZES, dtype=torch.float64)
    x = torch.randn(len(parent), SIZES[0], dtype=torch.float64)
    found = layer(x, torch.tensor(parent, dtype=torch.int32))
    torch.testing.assert_close(found, recursion(layer, x, parent), atol=1e-12, rtol=1e-12)


def test_a_chain_is_torchs_lstm():
    """Read from the leaf, answers and gradients of a chain are those of `torch.nn.LSTM`."""
    layer = TreeLSTM(3, 4, dtype=torch.float64)
    kernel = nn.LSTM(3, 4, dtype=torch.float64)
    values = [layer.weight_ih, layer.weight_hh, layer.bias, torch.zeros(16)]
    for theirs, ours in zip(kernel.parameters(), values, strict=True):
        theirs.data.copy_(ours)
    x = torch.randn(30, 3, dtype=torch.float64)
    parent = torch.tensor([*range(1, 30), -1])
    results = []
    for module, run in (
        (layer, lambda leaf: layer(leaf, parent)[0]),
        (kernel, lambda leaf: kernel(leaf)[0]),
    ):
        leaf = x.clone().requires_grad_()
        h = run(leaf)
        leaves = [leaf, *list(module.parameters())[:3]]
        results.append([h, *torch.autograd.grad(h.pow(3).sum(), leaves)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)


def test_trees_of_a_forest_do_not_touch():
    """What a tree gives does not depend on the trees beside it, nor on the order of its nodes."""
    layer = TreeLSTM(*SIZES, dtype=torch.float64)
    x = torch.randn(5, SIZES[0], dtype=torch.float64)
    one, other = layer(x[:3], torch.tensor([-1, 0, 0])), layer(x[3:], torch.tensor([1, -1]))
    both = layer(x[[3, 0, 1, 4, 2]], torch.tensor([3, -1, 1, -1, 1]))
    for first, second, together in zip(one, other, both, strict=True):
        torch.testing.assert_close(together[[1, 2, 4]], first)
        torch.testing.assert_close(together[[0, 3]], second)


@settings(deadline=None, max_examples=60)
@given(parent=forests())
def test_levels_hold_the_nodes_of_a_depth(parent):
    """A level's nodes have that many ancestors, and their parents' places are right."""

    def depth(node):
        return 0 if parent[node] < 0 else 1 + depth(parent[node])

    levels = levels_of(len(parent), torch.tensor(parent, dtype=torch.int64))
    by_level = [part.tolist() for part in levels.order.split(levels.sizes)] if parent else []
    assert sorted(sum(by_level, [])) == list(range(len(parent)))  # noqa: RUF017 - a few lists
    for number, nodes in enumerate(by_level):
        assert [depth(node) for node in nodes] == [number] * len(nodes)
        if number:
            places = levels.parents[number].tolist()
            assert [by_level[number - 1][place] for place in places] == [parent[n] for n in nodes]


def test_derivatives_pass_finite_differences():
    """Gradients of features and weights agree with finite differences."""
    layer = TreeLSTM(*SIZES, dtype=torch.float64)
    x = torch.randn(6, SIZES[0], dtype=torch.float64, requires_grad=True)
    parent = torch.tensor([1, -1, 1, 2, 2, -1])
    assert gradcheck(lambda x, *_: layer(x, parent), (x, *layer.parameters()))


def test_works_traced_compiled_and_copied():
    """Tracing records one call; a compiled layer breaks its graph and is right; a copy is equal."""
    layer = TreeLSTM(*SIZES, dtype=torch.float64)
    x, parent = torch.randn(4, SIZES[0], dtype=torch.float64), torch.tensor([1, -1, 1, 2])
    wanted = layer(x, parent)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager")
    for run in (compiled, torch.fx.symbolic_trace(layer), copy.deepcopy(layer)):
        torch.testing.assert_close(run(x, parent), wanted)


def test_bfloat16_and_autocast():
    """Half precision gives answers near the exact ones."""
    layer, parent = TreeLSTM(*SIZES), torch.tensor([1, -1, 1, 2])
    x = torch.randn(4, SIZES[0])
    wanted = layer(x, parent)
    with torch.autocast("cpu", torch.bfloat16):
        cast = layer(x, parent)
    half = copy.deepcopy(layer).bfloat16()(x.bfloat16(), parent)
    assert {part.dtype for part in half} == {torch.bfloat16}
    for found in (cast, half):
        for ours, exact in zip(found, wanted, strict=True):
            torch.testing.assert_close(ours.float(), exact, atol=3e-2, rtol=3e-2)


def test_start_and_device():
    """Parameters start uniform in ±1/sqrt(hidden_size), on the device that is asked for."""
    layer = TreeLSTM(50, 100)
    for parameter in layer.parameters():
        assert 0.09 < parameter.abs().max() <= 0.1
    assert {p.device.type for p in TreeLSTM(2, 3, device="meta").parameters()} == {"meta"}


def test_impossible_sizes_are_refused():
    """The message names the size, what it may be and what it was."""
    with pytest.raises(OptionError) as caught:
        TreeLSTM(0, 3)
    assert str(caught.value) == (
        "TreeLSTM expected input_size to be a whole number from 1, received 0."
    )


@pytest.mark.parametrize(
    ("x", "parent", "text"),
    [
        (
            torch.zeros(4, 5),
            torch.zeros(4, dtype=torch.int64),
            (
                "TreeLSTM expected x of shape (M, 2), received (4, 5). Fix: put the nodes of all "
                "trees into one dim, or build the layer with another input_size."
            ),
        ),
        (
            torch.zeros(4, 2),
            torch.zeros(3, dtype=torch.int64),
            (
                "TreeLSTM expected parent to be whole numbers of shape (4,), one for each node, "
                "received torch.int64 of shape (3,)."
            ),
        ),
        (
            torch.zeros(4, 2),
            torch.zeros(4),
            (
                "TreeLSTM expected parent to be whole numbers of shape (4,), one for each node, "
                "received torch.float32 of shape (4,)."
            ),
        ),
        (
            torch.zeros(3, 2),
            torch.tensor([-1, 3, 0]),
            "TreeLSTM expected parents from -1 (a root) to 2, received -1 to 3.",
        ),
        (
            torch.zeros(3, 2),
            torch.tensor([-2, 0, 0]),
            "TreeLSTM expected parents from -1 (a root) to 2, received -2 to 0.",
        ),
        (
            torch.zeros(4, 2),
            torch.tensor([-1, 2, 3, 1]),
            (
                "TreeLSTM expected trees, received a circle: node 1 has no root above it. "
                "Fix: parent is -1 at the root of each tree."
            ),
        ),
        (
            torch.zeros(1, 2),
            torch.tensor([0]),
            (
                "TreeLSTM expected trees, received a circle: node 0 has no root above it. "
                "Fix: parent is -1 at the root of each tree."
            ),
        ),
    ],
)
def test_what_is_no_forest_is_refused(x, parent, text):
    """The message names what fits, or a node that is its own ancestor."""
    with pytest.raises(ShapeError) as caught:
        TreeLSTM(*SIZES)(x, parent)
    assert str(caught.value) == text


def test_repr_shows_the_arguments():
    """Printing shows sizes and bias."""
    assert repr(TreeLSTM(2, 3)) == "TreeLSTM(input_size=2, hidden_size=3, bias=True)"
