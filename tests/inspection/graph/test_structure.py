"""What is drawn of a network: modules, operators, and the tensors between them."""

import pytest
import torch
from torch import nn

from layerwright.inspection.example_inputs import inputs_of
from layerwright.inspection.graph.structure import drawing_of, levels_of
from layerwright.inspection.graph.tracing import Tracer
from layerwright.inspection.passes import Source, look


def drawn(network, inputs, depth=9):
    """Record a network and choose what is drawn."""
    return drawing_of(look(Source(network, inputs_of(inputs)), Tracer).seen.root, depth)


def edges(drawing):
    """Return start, end and shape of each edge, by titles."""
    return {(edge.start.title, edge.end.title, edge.label) for edge in drawing.edges}


def titles(drawing):
    """Return the titles of all items, in order."""
    return [item.title for item in drawing.items()]


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU())

    def forward(self, x):
        return x + self.body(x)


def test_a_residual_branch_is_a_way_around():
    """The sum takes the input itself, which the longer way through the body leads to as well."""
    found = drawn(Residual, (2, 4))
    assert edges(found) == {
        ("input", "0", "2x4"), ("0", "1", "2x4"), ("1", "+", "2x4"), ("input", "+", "2x4"),
        ("+", "output", "2x4"),
    }  # fmt: skip
    assert [(edge.start.title, edge.end.title) for edge in found.edges if edge.is_skip] == [
        ("input", "+")
    ]
    (body,) = [item for item in found.items() if item.kind == "box"]
    assert [item.title for item in body.parts] == ["0", "1"]
    assert body.detail == "Sequential"


def test_a_folded_module_stands_for_all_inside():
    """At depth 1 the body is one item; the number of what is hidden is told."""
    found = drawn(Residual, (2, 4), depth=1)
    assert titles(found) == ["input", "body", "+", "output"]
    assert edges(found) == {
        ("input", "body", "2x4"), ("body", "+", "2x4"), ("input", "+", "2x4"),
        ("+", "output", "2x4"),
    }  # fmt: skip
    assert (found.depth, found.deepest, found.num_folded) == (1, 2, 2)


def test_each_call_of_a_shared_module_is_drawn():
    """And says which one it is."""
    layer = nn.Linear(3, 3)
    found = drawn(nn.Sequential(layer, nn.Tanh(), layer), (2, 3))
    calls = [(item.title, item.call, item.num_calls) for item in found.items() if item.call]
    assert calls == [("0", 1, 2), ("0", 2, 2)]
    assert ("1", "0", "2x3") in edges(found)


def test_tied_parameters_are_told():
    """At the module that has them second."""

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(5, 3), nn.Linear(3, 5)
            self.head.weight = self.embed.weight

        def forward(self, tokens):
            return self.head(self.embed(tokens))

    found = drawn(Tied, torch.ones(2, dtype=torch.int64))
    assert [item.detail for item in found.items() if item.kind == "module"] == [
        "Embedding", "Linear, weight = embed.weight",
    ]  # fmt: skip


def test_views_are_no_items_and_shapes_stand_on_the_edges():
    """A reshape changes the label; a function that calculates is an item, with its parameters."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(6, 2))

        def forward(self, x):
            return torch.tanh(x.flatten(1) @ self.weight).unsqueeze(-1)

    found = drawn(Net, (5, 2, 3))
    assert edges(found) == {
        ("input", "@", "5x6"), ("@", "tanh", "5x2"), ("tanh", "output", "5x2x1"),
    }  # fmt: skip
    assert [item.detail for item in found.items() if item.title == "@"] == ["weight"]


def test_what_depends_on_values_is_marked():
    """The place where Python asks, the module it is in, and not the others."""

    class Asks(nn.Module):
        def forward(self, x):
            return x * 2 if bool(x.sum() > 0) else x

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.asks, self.last = nn.Tanh(), nn.Sequential(Asks()), nn.Tanh()

        def forward(self, x):
            return self.last(self.asks(self.first(x)))

    found = drawn(Net, torch.ones(2, 3))
    marked = [(item.title, item.kind) for item in found.items() if item.depends_on_values]
    assert marked == [("asks", "box"), ("0", "module")]
    assert found.root.depends_on_values
    alone = drawn(Asks, torch.ones(2, 3))
    assert ("sum", "if", "scalar bool") in edges(alone)
    assert not drawn(Residual, (2, 4)).root.depends_on_values


def test_masks_are_marked_and_their_arithmetic_is_passed_through():
    """A tensor of truth values goes from what it was made of to what it masks."""

    class Net(nn.Module):
        def forward(self, x, lengths):
            mask = torch.arange(x.shape[1])[None] < lengths[:, None]
            return x.masked_fill(~mask, 0.0)

    found = drawn(Net, (torch.ones(2, 3), torch.tensor([1, 2])))
    assert titles(found) == ["input 0", "input 1", "masked_fill", "output"]
    assert [edge.is_mask for edge in found.edges if edge.start.title == "input 1"] == [True]
    assert ("input 1", "masked_fill", "2x3 bool") in edges(found)


def test_a_loop_is_drawn_once():
    """Many calls of one cell are one item that says how many, and no edge leads back."""

    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.norm = nn.GRUCell(3, 3), nn.LayerNorm(3)

        def forward(self, x):
            h = x[0]
            for step in x.unbind():
                h = self.norm(self.cell(step, h))
            return h

    found = drawn(Loop, (20, 2, 3))
    assert {item.title: item.times for item in found.items() if item.kind == "module"} == {
        "cell": 20, "norm": 20,
    }  # fmt: skip
    assert ("cell", "norm", "2x3") in edges(found)
    assert not [
        edge for edge in found.edges if edge.start.title == "norm" != edge.end.title != "output"
    ]
    few = drawn(Loop, (4, 2, 3))
    assert titles(few).count("cell") == 4


def test_a_network_that_fails_is_drawn_up_to_there():
    """The module that raised is marked, and what led to it is there."""
    network = nn.Sequential(nn.Sequential(nn.Linear(4, 5), nn.ReLU()), nn.Linear(4, 2), nn.ReLU())
    found = drawn(network, (2, 4))
    assert [item.title for item in found.items() if item.failed] == ["1"]
    assert titles(found) == ["input", "0", "0", "1", "1"]
    inside = nn.Sequential(nn.Sequential(nn.Linear(4, 5), nn.Linear(4, 5)))
    assert [
        (item.title, item.kind) for item in drawn(inside, (2, 4), 1).items() if item.failed
    ] == [("0", "module")]


class Squares(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Hides(nn.Module):
    """Moves tensors in ways that no argument shows."""

    def __init__(self):
        super().__init__()
        self.relu, self.same = nn.ReLU(inplace=True), nn.Identity()

    def forward(self, x):
        y = Squares.apply(x.tanh())
        y[:, 0] = 0.0
        self.kept = self.same(y)
        return {"y": self.relu(y.sigmoid()), "kept": [self.kept]}


def test_no_tensor_is_lost():
    """Hand-written functions, writes in place, identities, trees of outputs."""
    found = drawn(Hides, (2, 3))
    starts = {edge.start for edge in found.edges}
    ends = {edge.end for edge in found.edges}
    items = [item for item in found.items() if item.kind != "box"]
    assert {item.title for item in items if item.kind == "output"} == {"output 0", "output 1"}
    assert all(item in ends for item in items if item.kind != "input")
    assert all(item in starts for item in items if item.kind != "output")
    found = edges(found)
    assert ("tanh", "*", "2x3") in found
    assert ("sigmoid", "relu", "2x3") in found
    assert ("same", "output 1", "2x3") in found


def test_what_is_written_through_a_view_changes_the_whole():
    """What takes the whole afterwards stands below the write."""

    class Net(nn.Module):
        def forward(self, x):
            y = x.tanh()
            y[:, 0].mul_(2.0)
            return y.exp()

    assert edges(drawn(Net, (2, 3))) == {
        ("input", "tanh", "2x3"), ("tanh", "*", "2"), ("*", "exp", "2x3"), ("exp", "output", "2x3"),
    }  # fmt: skip


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_every_depth_connects_input_and_output(depth):
    """Of a network with nested boxes: all items lie on the way."""
    network = nn.Sequential(*(nn.Sequential(Residual(), nn.Sequential(Residual())) for _ in "ab"))
    found = drawn(network, (2, 4), depth)
    starts, ends = ({edge.start for edge in found.edges}, {edge.end for edge in found.edges})
    for item in found.items():
        if item.kind != "box":
            assert item in starts or item.kind == "output"
            assert item in ends or item.kind == "input"
    assert found.deepest == 5
    assert levels_of(look(Source(nn.Linear(2, 2), inputs_of((1, 2))), Tracer).seen.root) == 0
