"""Batches of a map-style dataset, read ahead by torch's DataLoader and still replayable."""

import copy
from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from layerwright.data.augmentation import Augmentation
from layerwright.data.batch_parts import batch_parts, finished_batch
from layerwright.data.interface import Batch, Batches
from layerwright.data.seeding import generator, private_randomness
from layerwright.data.share import Rows, Share
from layerwright.data.splits import DatasetSplit
from layerwright.data.workers import (
    END,
    WorkerStart,
    next_row,
    quiet_loader,
    start_rows,
    stop_workers,
)
from layerwright.errors import DataError, LayerwrightError

_Key = tuple[int, int, list[int]]  # epoch, batch, indices into the dataset


class DatasetBatches(Batches):
    """Batches of what does not fit in memory, or is computed as it is read.

    The DataLoader is asked for whole batches by `(epoch, batch, indices)`. Around the access to the
    dataset, the global generators of torch, numpy and Python are seeded from the seed, the epoch
    and the batch: random transforms give the same batch with any number of workers and after a
    resume in mid-epoch. A generator object that a dataset keeps for itself is not reached by this.

    Worker processes stay from one epoch to the next. They end when an epoch is closed early, with
    `close`, or with this object.

    Args:
        split: what to take batches of.
        batch_size: samples per batch.
        shuffle: draw a new order in each epoch.
        seed: decides the order and what random transforms draw.
        device: where the batches are wanted; for CUDA, batches come through pinned memory.
        augmentation: what is done to the first input of each batch.
        workers: processes that read ahead; 0 reads in this process.
        drop_last: leave out the last batch of an epoch when it is not full.
        share: which rows of each batch are wanted, and read; None wants all. Random transforms in
            the dataset then draw by process: other numbers than one process would draw.
    """

    def __init__(
        self,
        split: DatasetSplit,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        device: torch.device,
        augmentation: Augmentation | None = None,
        workers: int = 0,
        drop_last: bool = False,
        share: Share | None = None,
    ) -> None:
        batching = split.batching
        size = 1 if split.prebatched else batching.batch_size or batch_size
        self._size = size
        self._shuffle = shuffle if batching.shuffle is None else batching.shuffle
        self._workers = workers if batching.workers is None else batching.workers
        drop_last = drop_last if batching.drop_last is None else batching.drop_last
        count = len(split) if split.sampler is None else len(split.sampler)
        count -= count % size if drop_last else 0
        self._count = count
        self.batch_size: int | None = None if split.prebatched else size
        self.num_samples: int | None = None if split.prebatched else count
        self.num_batches: int = -(-count // size)
        self._split = split
        self._seed = seed
        self._share = share
        self._device = device
        self._augmentation = augmentation
        self._idle: DataLoader[Any] | None = None

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """Yield `(inputs, target)` from batch `start` of epoch `epoch` on, reading no other.

        Raises:
            DataError: a sample cannot be read or has the wrong form, or a worker process died.
        """
        loader = self._loader() if self._idle is None else self._idle
        self._idle = None
        loader.sampler.keys = self._keys(epoch, start)  # type: ignore[attr-defined]
        rows: Iterator[Any] | None = None
        finished = False
        try:
            rows = start_rows(loader)
            number = start
            while (row := next_row(rows, workers=self._workers)) is not END:
                if isinstance(row, _Failure):
                    raise DataError(row.message)
                batch = batch_parts(row, f"batch {number} of the dataset")
                if self._split.prebatched:  # the dataset may keep the batch itself
                    batch = tuple(part.clone() for part in batch[0]), batch[1].clone()
                yield finished_batch(
                    batch,
                    self._device,
                    self._split.normalization,
                    self._augmentation,
                    (epoch, number),
                    self._rows(number),
                )
                number += 1
            finished = True
        finally:
            if finished:
                self._idle = loader
            else:
                stop_workers(rows)

    def sample_indices(self, epoch: int, batch: int) -> Tensor | None:
        """Return the indices into the dataset of a batch, shape `(batch size,)`."""
        if self._split.prebatched:
            return None
        order = self._order(epoch)
        return order[batch * self._size : min((batch + 1) * self._size, self._count)]

    def close(self) -> None:
        """End the worker processes that wait for the next epoch."""
        loader, self._idle = self._idle, None
        stop_workers(getattr(loader, "_iterator", None))

    def _order(self, epoch: int) -> Tensor:
        """Indices into the dataset, in the order of an epoch."""
        split = self._split
        source = generator(self._seed, "order", epoch)
        if split.sampler is not None:
            sampler = copy.copy(split.sampler)
            sampler.generator = source
            return torch.tensor(list(sampler), dtype=torch.int64)
        if self._shuffle and not split.prebatched:
            positions = torch.randperm(len(split), generator=source)
        else:
            positions = torch.arange(len(split))
        return positions if split.indices is None else split.indices[positions]

    def _keys(self, epoch: int, start: int) -> Iterator[_Key]:
        order = self._order(epoch)[: self._count]
        for number in range(start, self.num_batches):
            chosen = order[number * self._size : (number + 1) * self._size]
            rows = self._rows(number)
            if rows is not None:
                chosen = chosen[rows.first : rows.last]
            yield epoch, number, chosen.tolist()

    def _rows(self, number: int) -> Rows | None:
        """This process's rows of a batch; None for all."""
        if self._share is None:
            return None
        return self._share.rows(min(self._size, self._count - number * self._size), self._size)

    def _loader(self) -> DataLoader[Any]:
        """Build the DataLoader; its own generator keeps it away from the global one."""
        batching = self._split.batching
        return quiet_loader(
            _SeededBatches(self._split, self._seed, self._share),
            batch_size=None,
            sampler=_Keys(),
            num_workers=self._workers,
            collate_fn=_unchanged,
            pin_memory=self._device.type == "cuda",
            worker_init_fn=WorkerStart(batching.worker_init),
            generator=generator(self._seed, "workers"),
            prefetch_factor=(batching.prefetch or 2) if self._workers else None,
            persistent_workers=self._workers > 0,
        )


class _Keys:
    """The DataLoader's sampler: the keys of whichever epoch is read next."""

    keys: Iterator[_Key] = iter(())

    def __iter__(self) -> Iterator[_Key]:
        return self.keys


class _Failure:
    """An error of ours on its way out of a worker, whose message must arrive as it is."""

    def __init__(self, message: str) -> None:
        self.message = message


class _SeededBatches(Dataset[Any]):
    """Reads and collates one batch at a time, under randomness of its own."""

    def __init__(self, split: DatasetSplit, seed: int, share: Share | None) -> None:
        self.dataset = split.dataset
        self.collate = split.collate or default_collate
        self.prebatched = split.prebatched
        self.seed = seed
        self.draws_for = ("samples",) if share is None else ("samples of rank", share.rank)

    def __getitem__(self, key: _Key) -> Any:
        epoch, number, indices = key
        try:
            with private_randomness(self.seed, *self.draws_for, epoch, number):
                return self._read(indices)
        except LayerwrightError as error:
            return _Failure(str(error))
        except Exception as error:
            error.add_note(f"layerwright was reading samples {indices} of the dataset.")
            raise

    def _read(self, indices: list[int]) -> Any:
        if self.prebatched:
            return self.dataset[indices[0]]
        if hasattr(self.dataset, "__getitems__"):
            samples = self.dataset.__getitems__(indices)
        else:
            samples = [self.dataset[index] for index in indices]
        return self.collate(samples)


def _unchanged(batch: Any) -> Any:
    return batch
