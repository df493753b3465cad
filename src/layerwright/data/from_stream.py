"""What can only be iterated: generators, iterators, an `IterableDataset`, a loader of one's own."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, default_collate

from layerwright.data.batch_parts import batch_parts
from layerwright.data.facts import Facts, task_of
from layerwright.data.seeding import private_randomness
from layerwright.data.splits import StreamSplit
from layerwright.data.workers import stop_workers
from layerwright.errors import DataError

_NONE: Any = object()


def split_from_stream(
    iterable: Iterable[Any], reason: str | None = None, *, batch_size: int | None = None
) -> tuple[StreamSplit, Facts]:
    """Make a split of an iterable of batches; the first one is looked at and not lost.

    Args:
        iterable: gives batches `(input, ..., target)`; an `IterableDataset` gives samples.
        reason: one sentence that says why it cannot be replayed; None finds one.
        batch_size: samples per batch, for an `IterableDataset`.

    Raises:
        DataError: it gives nothing, or something that is not a batch.
    """
    if reason is None:
        reason = _reason(iterable)
    with private_randomness(0, "first batch"):
        iterator = iter(iterable)
        used_up_once = iterator is iter(iterable) if not _is_loader(iterable) else False
        if used_up_once and isinstance(iterable, IterableDataset):
            return StreamSplit(iterable, reason, batch_size=batch_size), Facts()
        first = next(iterator, _NONE)
        stop_workers(iterator, iterable)
    if first is _NONE:
        raise DataError(
            f"the stream {type(iterable).__name__} expected at least one batch, received none. "
            "Fix: pass an iterator that is not used up yet."
        )
    if used_up_once:
        iterable = _OneShot(chain((first,), iterator))
    if isinstance(iterable, IterableDataset):
        first = default_collate([first])
    inputs, target = batch_parts(first, "the first batch of the stream")
    shapes = tuple(tuple(part.shape[1:]) for part in inputs)
    facts = Facts(
        task=task_of(torch.as_tensor(first[-1]).dtype),
        input_shape=shapes[0],
        target_shape=tuple(target.shape[1:]),
    )
    return StreamSplit(iterable, reason, shapes, batch_size), facts


class _OneShot(Iterator[Any]):
    """An iterator with its first batch put back."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self._rows = rows

    def __next__(self) -> Any:
        return next(self._rows)


def _is_loader(iterable: Any) -> bool:
    return isinstance(iterable, DataLoader)


def _reason(iterable: Any) -> str:
    if isinstance(iterable, IterableDataset):
        return "The data is an IterableDataset, which cannot be started at a given batch."
    if isinstance(iterable, Iterator):
        return "The data is an iterator, which gives each batch only once."
    return f"The data of type {type(iterable).__name__} can be iterated and not indexed."
