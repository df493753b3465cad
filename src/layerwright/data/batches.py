"""From a split to batches: in memory, through worker processes, or as a stream gives them."""

from collections.abc import Generator, Iterator, Sequence
from itertools import chain, islice

import torch
from torch import Tensor

from layerwright.data.augmentation import Augmentation
from layerwright.data.interface import Batch, Batches
from layerwright.data.loading import DatasetBatches
from layerwright.data.seeding import generator
from layerwright.data.share import Share
from layerwright.data.splits import DatasetSplit, Split, StreamSplit, TensorSplit
from layerwright.data.streaming import StreamBatches
from layerwright.data.text_batches import TextBatches
from layerwright.data.text_split import TextSplit
from layerwright.errors import DataError, OptionError

__all__ = ["Batch", "Batches", "InMemoryBatches", "make_batches"]

# A chunk of batches is gathered at once. Measured with SimpleNet's 64x784: 1 MiB is fastest, since
# it stays in the processor's cache until it is used; larger chunks are fetched from memory twice.
_CHUNK_BYTES = 2**20
# Inputs whose float copy is this small are normalised once, before the first epoch.
_NORMALIZED_ONCE_BYTES = 32 * 2**20
# Splits up to this size move to the accelerator as a whole; larger ones go there in chunks.
_RESIDENT_BYTES = 2 * 2**30


def make_batches(
    split: Split,
    *,
    batch_size: int,
    shuffle: bool,
    seed: int,
    device: torch.device | str = "cpu",
    augment: Sequence[str] = (),
    workers: int = 0,
    drop_last: bool = False,
    share: Share | None = None,
) -> Batches:
    """Return the batches of a split, ready on `device`.

    What a user's own DataLoader decided (`split.batching`) wins over the arguments here.

    Args:
        split: of `Data`.
        batch_size: samples per batch.
        shuffle: draw a new order in each epoch.
        seed: decides order, augmentation and what random transforms in a dataset draw.
        device: where the batches are wanted.
        augment: "crop", "flip", "rotate", in the order given; for the first input, which must be
            images.
        workers: processes that read a dataset ahead; 0 reads it here. Not used for data in memory.
        drop_last: leave out the last batch of an epoch when it is not full.
        share: which rows of each batch are wanted, where several processes train together;
            `batch_size`, `num_samples` and `sample_indices` are those of the whole batches.

    Raises:
        OptionError: an argument is impossible.
        DataError: the data cannot be shared out.
    """
    if batch_size < 1 or workers < 0:
        raise OptionError(
            f"make_batches expected a batch_size from 1 and workers from 0, received "
            f"batch_size={batch_size} and workers={workers}."
        )
    augmentation = Augmentation(augment, seed) if augment else None
    device = torch.device(device)
    if share is not None:
        _require_samples(split)
        batching = getattr(split, "batching", None)
        share.require_enough((batching and batching.batch_size) or batch_size)
    if isinstance(split, TextSplit):
        if augmentation is not None:
            raise OptionError(
                f"augment expected images, received texts and augment={augmentation.names}. "
                "Fix: leave augment out."
            )
        return TextBatches(
            split,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            device=device,
            drop_last=drop_last,
            share=share,
        )
    if isinstance(split, TensorSplit):
        return InMemoryBatches(
            split,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            device=device,
            augmentation=augmentation,
            drop_last=drop_last,
            share=share,
        )
    if isinstance(split, DatasetSplit):
        return DatasetBatches(
            split,
            batch_size=batch_size,
            shuffle=shuffle,
            seed=seed,
            device=device,
            augmentation=augmentation,
            workers=workers,
            drop_last=drop_last,
            share=share,
        )
    return StreamBatches(
        split,
        batch_size=batch_size,
        seed=seed,
        device=device,
        augmentation=augmentation,
        workers=workers,
    )


class InMemoryBatches(Batches):
    """Batches of tensors in memory, gathered several at a time.

    A chunk of about 1 MiB is gathered, normalised and cut into batches, so that one batch costs a
    few microseconds of Python. Batches do not share memory with the split: a network may change
    its input in place.

    Args:
        split: what to take batches of.
        batch_size: samples per batch.
        shuffle: draw a new order in each epoch.
        seed: decides the order.
        device: where the batches are wanted.
        augmentation: what is done to the first input of each batch.
        drop_last: leave out the last batch of an epoch when it is not full.
        share: which rows of each batch are wanted; None wants all.
    """

    def __init__(
        self,
        split: TensorSplit,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        device: torch.device,
        augmentation: Augmentation | None = None,
        drop_last: bool = False,
        share: Share | None = None,
    ) -> None:
        batching = split.batching
        self.batch_size: int = batching.batch_size or batch_size
        self._shuffle = shuffle if batching.shuffle is None else batching.shuffle
        drop_last = drop_last if batching.drop_last is None else batching.drop_last
        count = len(split)
        self.num_samples: int = count - count % self.batch_size if drop_last else count
        self.num_batches: int = -(-self.num_samples // self.batch_size)
        self._split = split
        self._seed = seed
        self._share = share
        self._device = device
        self._augmentation = augmentation
        self._normalization = split.normalization
        tensors = [*split.inputs, split.targets]
        if self._normalization is not None and _is_normalized_once(tensors[0]):
            tensors[0] = self._normalization.apply(tensors[0])
            self._normalization = None
        if sum(tensor.nbytes for tensor in tensors) <= _RESIDENT_BYTES:
            tensors = [tensor.to(device) for tensor in tensors]
        self._tensors = tensors
        self._batches_per_chunk = max(1, _CHUNK_BYTES // self._batch_bytes())

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """Yield `(inputs, target)` from batch `start` of epoch `epoch` on."""
        chunks = self._chunks if self._share is None else self._shared_chunks
        batches = chain.from_iterable(chunks(epoch, start))
        if self._augmentation is None:
            yield from batches
            return
        for number, (inputs, target) in enumerate(batches, start):
            rows = None
            if self._share is not None:
                count = min(self.batch_size, self.num_samples - number * self.batch_size)
                rows = self._share.rows(count, self.batch_size)
            first = self._augmentation.apply(inputs[0], epoch, number, rows)
            yield (first, *inputs[1:]), target

    def sample_indices(self, epoch: int, batch: int) -> Tensor | None:
        """Return the rows of a batch in the data that was given, shape `(batch size,)`."""
        first = batch * self.batch_size
        last = min(first + self.batch_size, self.num_samples)
        order = self._order(epoch)
        positions = torch.arange(first, last) if order is None else order[first:last]
        return positions if self._split.indices is None else self._split.indices[positions]

    def _order(self, epoch: int) -> Tensor | None:
        if not self._shuffle:
            return None
        return torch.randperm(len(self._split), generator=generator(self._seed, "order", epoch))

    def _chunks(self, epoch: int, start: int) -> Iterator[Iterator[Batch]]:
        """Yield each chunk as an iterator over its batches, which runs in C."""
        order, size = self._order(epoch), self.batch_size
        home = self._tensors[0].device
        if order is not None:
            order = order.to(home)
        step = size * self._batches_per_chunk
        # Chunks always begin at the same batches: kernels may round differently where a batch lies
        # otherwise in memory, and a resumed run must not.
        skipped = start % self._batches_per_chunk
        for first in range((start - skipped) * size, self.num_samples, step):
            last = min(first + step, self.num_samples)
            if order is None:
                chunk = [tensor[first:last] for tensor in self._tensors]
            else:
                chunk = [tensor.index_select(0, order[first:last]) for tensor in self._tensors]
            # A new tensor for each chunk: the consumer may still hold batches of the last one.
            # unsafe_split gives tensors of their own, which autograd does not tie together.
            parts = [
                torch.unsafe_split(part, size) for part in self._ready(chunk, is_view=order is None)
            ]
            batches = zip(zip(*parts[:-1], strict=True), parts[-1], strict=True)
            yield islice(batches, skipped, None) if skipped else batches
            skipped = 0

    def _shared_chunks(self, epoch: int, start: int) -> Iterator[Iterator[Batch]]:
        """Do the same for this process's rows; they lie in memory as its share of the order."""
        order = self._order(epoch)
        whole = torch.arange(self.num_samples) if order is None else order[: self.num_samples]
        own, sizes = self._share.of_order(whole, self.batch_size)  # type: ignore[union-attr]
        own = own.to(self._tensors[0].device)
        skipped = start % self._batches_per_chunk
        begin = start - skipped
        first = sum(sizes[:begin])
        for place in range(begin, self.num_batches, self._batches_per_chunk):
            parts_of = sizes[place : place + self._batches_per_chunk]
            rows = own[first : first + sum(parts_of)]
            first += sum(parts_of)
            chunk = self._ready([part.index_select(0, rows) for part in self._tensors])
            parts = [torch.unsafe_split_with_sizes(part, parts_of) for part in chunk]
            batches = zip(zip(*parts[:-1], strict=True), parts[-1], strict=True)
            yield islice(batches, skipped, None) if skipped else batches
            skipped = 0

    def _ready(self, chunk: list[Tensor], *, is_view: bool = False) -> list[Tensor]:
        """Normalise a chunk and bring it to the device; none of it shares memory with the data."""
        if self._normalization is not None:
            first = self._normalization.apply(chunk[0])
            rest = [tensor.clone() for tensor in chunk[1:]] if is_view else chunk[1:]
            chunk = [first, *rest]
        elif is_view:
            chunk = [tensor.clone() for tensor in chunk]
        if chunk[0].device == self._device:
            return chunk
        if self._device.type == "cuda":
            return [tensor.pin_memory().to(self._device, non_blocking=True) for tensor in chunk]
        return [tensor.to(self._device) for tensor in chunk]

    def _batch_bytes(self) -> int:
        """Bytes of one batch of inputs, as floats where they are normalised on the way out."""
        size = 4 if self._normalization is not None else self._tensors[0].itemsize
        sample = self._tensors[0][:1].numel() * size
        sample += sum(tensor[:1].nbytes for tensor in self._tensors[1:])
        size = self.batch_size
        if self._share is not None:
            rows = self._share.rows(size, size)
            size = rows.last - rows.first
        return max(1, sample * size)


def _require_samples(split: Split) -> None:
    """Refuse what comes in batches of its own, of which no process knows what others take.

    Raises:
        DataError: the split is a stream, or its dataset holds whole batches.
    """
    if isinstance(split, StreamSplit) or (isinstance(split, DatasetSplit) and split.prebatched):
        kind = "a stream" if isinstance(split, StreamSplit) else "a dataset of whole batches"
        raise DataError(
            f"training on several processes expected data whose samples can be counted, received "
            f"{kind}. Fix: give a map-style Dataset of samples, or train on one process."
        )


def _is_normalized_once(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.numel() * 4 <= _NORMALIZED_ONCE_BYTES
