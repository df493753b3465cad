"""Trees of tensors: walked, mapped and compared."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from layerwright.contract.comparing import difference
from layerwright.contract.trees import Inputs, map_tensors, named_tensors

Pair = namedtuple("Pair", "left right")  # noqa: PYI024 - an untyped one, as users have


@dataclass
class Output:
    """A dataclass, as models return."""

    logits: torch.Tensor
    hidden: tuple
    note: str = ""


@pytest.mark.parametrize(
    ("tree", "names"),
    [
        (torch.ones(1), ["output"]),
        ((torch.ones(1), [torch.ones(2)]), ["[0]", "[1][0]"]),
        ({"a": torch.ones(1), "b": (3, None)}, ["['a']"]),
        (OrderedDict(a=torch.ones(1)), ["['a']"]),
        (Pair(torch.ones(1), torch.ones(1)), [".left", ".right"]),
        (Output(torch.ones(1), (torch.ones(1),)), [".logits", ".hidden[0]"]),
        (pack_sequence([torch.ones(2, 1)]), [".data", ".batch_sizes"]),
        (None, []),
    ],
)
def test_every_tensor_is_found_and_replaced(tree, names):
    """With its path; types of containers are kept."""
    assert [item.name for item in named_tensors(tree)] == names
    doubled = map_tensors(tree, lambda tensor: tensor * 2)
    assert type(doubled) is type(tree)
    for one, two in zip(named_tensors(tree), named_tensors(doubled), strict=True):
        assert torch.equal(one.tensor * 2, two.tensor)


def test_inputs_keep_names_strides_and_gradients_apart():
    """Clones share no memory; a transposed tensor stays transposed."""
    x = torch.randn(3, 2).t().requires_grad_()
    inputs = Inputs((x, {"k": torch.arange(2)}), {"mask": torch.ones(2).bool()}, ("x", "more"))
    assert [item.name for item in inputs.tensors()] == ["x", "more['k']", "mask"]
    assert [item.name for item in inputs.floats()] == ["x"]
    clone = inputs.clone()
    assert clone.args[0].stride() == x.stride()
    assert clone.args[0].requires_grad
    assert clone.args[0].data_ptr() != x.data_ptr()
    assert inputs.replaced("mask", torch.zeros(2).bool()).kwargs["mask"].sum() == 0
    assert inputs.to(torch.float64).args[0].dtype == torch.float64
    assert inputs.described() == ("x: (2, 3) float32", "more['k']: (2,) int64", "mask: (2,) bool")


@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=8),
    st.integers(0, 7),
    st.sampled_from([1e-1, 1e2, float("nan"), float("inf")]),
)
def test_a_difference_is_found_wherever_it_is(values, place, by):
    """And equal tensors, NaN included, have none."""
    one = torch.tensor([*values, float("nan")])
    two = one.clone()
    assert difference(one, two) is None
    assert difference(one, two, exact=True) is None
    two[place % len(values)] += by
    scale = max(abs(value) for value in values)
    if not abs(by) <= 1e-3 * scale:
        words = difference(one, two)
        assert words is not None
        assert f"[{place % len(values)}]" in words


@pytest.mark.parametrize(
    ("one", "two", "words"),
    [
        (torch.ones(2), torch.ones(3), "shape (3,) instead of (2,)"),
        (torch.ones(2), torch.ones(2).double(), "float64 instead of float32"),
        (torch.tensor([1, 2]), torch.tensor([1, 3]), "1 of 2 values differ, the most at [1]: 3"),
        ((torch.ones(1),), (torch.ones(1), torch.ones(1)), "1 tensors against 2"),
        ({"a": torch.zeros(())}, {"a": torch.ones(())}, "['a']: 1 of 1 values differ, the most: 1"),
        (torch.ones(2) + 0j, torch.ones(2) * 1j, "2 of 2 values differ"),
    ],
)
def test_differences_are_told_in_words(one, two, words):
    """With numbers and the place."""
    assert words in difference(one, two)


def test_roundings_are_no_difference_but_are_not_exact():
    """A few units in the last place of the largest value."""
    one = torch.tensor([1.0, 1e-9])
    two = one + 1e-6
    assert difference(one, two) is None
    assert difference(one, two, exact=True) is not None
    assert difference(one, one + 1e-3) is not None
