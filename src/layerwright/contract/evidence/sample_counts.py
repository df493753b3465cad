"""Arguments beside the samples that have to follow when the number of samples changes."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from layerwright.contract.trees import Inputs


def with_what_follows(
    inputs: Inputs, names: tuple[str, ...], size: int, other: int
) -> Iterator[Inputs]:
    """Yield inputs in which more than the samples follows their number.

    First counts, such as `batch_size`. Then, one after the other, tensors with some rows for each
    sample, as the masks of `nn.MultiheadAttention` have one for each head, or with the samples
    along another dimension.

    Args:
        inputs: with the new number of samples already.
        names: of the tensors that hold the samples.
        size: the number of samples before.
        other: their number now.
    """
    counted = replace(
        inputs,
        args=_counting(inputs.args, size, other),
        kwargs=_counting(dict(inputs.kwargs), size, other),
    )
    yield counted
    longer = counted
    for item in inputs.tensors():
        lengths = item.tensor.shape
        dims = [dim for dim, length in enumerate(lengths) if length and length % size == 0]
        if item.name in names or not dims:
            continue
        rows = torch.arange(lengths[dims[0]] // size * other) % lengths[dims[0]]
        longer = longer.replaced(item.name, item.tensor.index_select(dims[0], rows))
        yield longer


def _counting(tree: Any, size: int, other: int) -> Any:
    """Return lists, tuples and dicts with a whole number in place of another."""
    if type(tree) in {list, tuple}:
        return type(tree)(_counting(item, size, other) for item in tree)
    if type(tree) is dict:
        return {key: _counting(item, size, other) for key, item in tree.items()}
    return other if type(tree) is int and tree == size else tree
