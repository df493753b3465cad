"""Batches of what can only be iterated."""

from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from layerwright.data.augmentation import Augmentation
from layerwright.data.batch_parts import batch_parts, finished_batch
from layerwright.data.interface import Batch, Batches
from layerwright.data.seeding import generator, private_randomness
from layerwright.data.splits import StreamSplit
from layerwright.data.workers import (
    END,
    WorkerStart,
    next_row,
    quiet_loader,
    start_rows,
    stop_workers,
)
from layerwright.errors import DataError


class StreamBatches(Batches):
    """Batches as an iterable gives them: in its order, each epoch as far as it goes.

    While the iterable works, the global generators are seeded from the seed, the epoch and the
    batch, so that a stream which draws from them repeats as well as it can.

    Args:
        split: what to iterate.
        batch_size: samples per batch, for an `IterableDataset` that gives single samples.
        seed: decides what the stream draws from the global generators, and the augmentation.
        device: where the batches are wanted.
        augmentation: what is done to the first input of each batch.
        workers: processes that read an `IterableDataset`.
    """

    def __init__(
        self,
        split: StreamSplit,
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        augmentation: Augmentation | None = None,
        workers: int = 0,
    ) -> None:
        self._split = split
        self._seed = seed
        self._device = device
        self._augmentation = augmentation
        self._iterable: Any = split.iterable
        if isinstance(split.iterable, IterableDataset):
            self._iterable = quiet_loader(
                split.iterable,
                batch_size=split.batch_size or batch_size,
                num_workers=workers,
                pin_memory=device.type == "cuda",
                worker_init_fn=WorkerStart(),
                generator=generator(seed, "workers"),
            )
        self._workers: int = getattr(self._iterable, "num_workers", 0)
        self.batch_size: int | None = None
        self.num_samples: int | None = None
        self.num_batches: int | None = _length(self._iterable)

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """Yield `(inputs, target)` of epoch `epoch`, which can only be had from its beginning.

        Raises:
            DataError: `start` is not 0, nothing is left to give, or a batch has the wrong form.
        """
        if start:
            raise DataError(
                f"batch {start} of epoch {epoch} cannot be had without the ones before it: "
                f"{self._split.reason} Fix: start the epoch anew, or use a map-style Dataset."
            )
        with private_randomness(self._seed, "stream", epoch):
            rows = start_rows(self._iterable)
        number = 0
        try:
            while (row := self._next(rows, epoch, number)) is not END:
                batch = batch_parts(row, f"batch {number} of the stream")
                yield finished_batch(batch, self._device, None, self._augmentation, (epoch, number))
                number += 1
        finally:
            stop_workers(rows, self._iterable)
        if number == 0:
            raise DataError(
                f"the stream expected to give batches in epoch {epoch + 1}, received none: an "
                "iterator is used up after one pass. Fix: train for one epoch, or pass a "
                "DataLoader, a Dataset or a list of batches."
            )

    def sample_indices(self, epoch: int, batch: int) -> Tensor | None:  # noqa: ARG002
        """Return None: which samples a stream gave is unknown."""
        return None

    def _next(self, rows: Iterator[Any], epoch: int, number: int) -> Any:
        with private_randomness(self._seed, "stream", epoch, number):
            return next_row(rows, workers=self._workers)


def _length(iterable: Any) -> int | None:
    """The number of batches, where the iterable says it."""
    try:
        return len(iterable)
    except (TypeError, NotImplementedError):
        return None
