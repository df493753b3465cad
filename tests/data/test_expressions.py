"""Expressions: both forms say the same, and Python agrees with the values."""

import pytest
import torch

from layerwright.data.catalog import load_data
from layerwright.data.expressions import SYMBOLS, load_expressions
from layerwright.errors import OptionError

NAMES = {"max": max, "min": min, "sum": lambda *values: sum(values) % 5}


@pytest.fixture(scope="module")
def trees():
    return load_data("expressions")


@pytest.fixture(scope="module")
def sequences():
    return load_data("expression-sequences")


def spoken_trees(split):
    """Each expression as Python writes a call, read from nodes and parents."""
    for tokens, parents in zip(*(tensor.tolist() for tensor in split.inputs), strict=True):
        size = sum(token > 0 for token in tokens)
        assert parents.count(-1) == 1 + len(tokens) - size
        children = {node: [] for node in range(size)}
        for node in range(1, size):
            children[parents[node]].append(node)

        def spoken(node, children=children, tokens=tokens):
            inside = ", ".join(map(spoken, children[node]))
            return f"{SYMBOLS[tokens[node]]}({inside})" if inside else SYMBOLS[tokens[node]]

        yield spoken(0)


def spoken_sequences(split):
    """The same, read from the symbols in their order."""
    for tokens, length in zip(*(tensor.tolist() for tensor in split.inputs), strict=True):
        assert not any(tokens[length:])
        words = [SYMBOLS[token] for token in tokens[:length]]
        text = "".join(f"{word}(" if word in NAMES else f"{word}, " for word in words)
        yield text.replace(", )", ")").removesuffix(", ")


def structure(text):
    """An expression without its digits, its arguments in alphabetical order."""

    class Sorted(str):
        __slots__ = ()

    calls = {name: lambda *args, name=name: f"{name}[{' '.join(sorted(args))}]" for name in NAMES}
    for digit in "01234":
        text = text.replace(digit, "'.'")
    return eval(text, calls)


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_both_forms_are_the_expression_whose_value_is_the_target(trees, sequences, name):
    """Python evaluates what the tensors say to the target."""
    split, other = getattr(trees, name), getattr(sequences, name)
    texts = list(spoken_trees(split))
    assert texts == list(spoken_sequences(other))
    assert [eval(text, dict(NAMES)) for text in texts] == split.targets.tolist()
    assert torch.equal(split.targets, other.targets)
    assert len(set(texts)) == len(texts) == {"train": 8000, "validation": 1000}.get(name, 2000)
    sizes = {sum(text.count(digit) for digit in "01234") for text in texts}
    assert sizes == set(range(3, 11))


def test_no_structure_is_in_two_splits(trees):
    """Whatever the digits are and in which order arguments stand."""
    found = [
        {structure(text) for text in spoken_trees(split)}
        for split in (trees.train, trees.validation, trees.test)
    ]
    assert all(len(structures) > 100 for structures in found)
    assert len(set().union(*found)) == sum(map(len, found))


def test_larger_expressions_to_test_on(trees):
    """The test split alone changes, and is as disjoint."""
    larger = load_expressions(test_leaves=(14, 16))
    assert torch.equal(larger.train.inputs[0], trees.train.inputs[0])
    texts = list(spoken_trees(larger.test))
    assert {sum(text.count(digit) for digit in "01234") for text in texts} == {14, 15, 16}


def test_expressions_have_names(trees, sequences):
    """The catalog has both forms; values are spread over the classes, and stay."""
    for name, data in (("expressions", trees), ("expression-sequences", sequences)):
        assert (data.name, data.num_classes, data.task) == (name, 5, "classification")
        assert data.input_shape == data.train.input_shapes[0]
    assert 0.1 < trees.test.targets.bincount().min() / len(trees.test) < 0.2
    # Written down: expressions must be the same in every version of Python and torch.
    assert (
        next(spoken_trees(trees.train))
        == "min(sum(3, sum(3, 2)), sum(sum(3, 2), min(sum(0, 0), 2)))"
    )


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"form": "tree"}, "form expected trees or sequences, received 'tree'."),
        (
            {"leaves": (5, 4)},
            (
                "expressions expected the least and the largest number of leaves, from 2 and from "
                "8, received (5, 4). Fix: let expressions grow, so that there are enough."
            ),
        ),
    ],
)
def test_impossible_options_are_refused(options, text):
    """The message shows what was given."""
    with pytest.raises(OptionError) as caught:
        load_expressions(**options)
    assert str(caught.value) == text
