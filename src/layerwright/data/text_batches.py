"""Batches of texts of different lengths, padded to the longest of each batch."""

from collections.abc import Generator

import torch
from torch import Tensor

from layerwright.data.interface import Batch, Batches
from layerwright.data.seeding import generator
from layerwright.data.share import Share
from layerwright.data.text_split import TextSplit
from layerwright.data.vocabulary import PADDING

# Texts are put in order of length among this many batches. More would leave less padding (here
# it is 2 % of IMDB's tokens), fewer would mix better.
_BATCHES_PER_POOL = 50


class TextBatches(Batches):
    """Batches `((tokens, lengths), target)` of texts of about the same length.

    Tokens are int64, shape `(B, L)`, L the length of the longest text of the batch, with 0 behind
    the end of each text; lengths are int64, shape `(B,)`.

    In training the texts are drawn into a random order, which is cut into pools of 50 batches;
    within a pool they are put in order of length and cut into batches, and the batches of the
    epoch come in random order. All of it is a function of the seed and the epoch. Without
    `shuffle` the batches begin with the shortest texts of the split.

    Args:
        split: what to take batches of.
        batch_size: samples per batch.
        shuffle: draw a new order in each epoch.
        seed: decides the order.
        device: where the batches are wanted.
        drop_last: leave out what is left of an epoch when it fills no batch.
        share: which rows of each batch are wanted; they are padded as the whole batch is.
    """

    def __init__(
        self,
        split: TextSplit,
        *,
        batch_size: int,
        shuffle: bool,
        seed: int,
        device: torch.device,
        drop_last: bool = False,
        share: Share | None = None,
    ) -> None:
        count = len(split)
        self.batch_size: int = batch_size
        self.num_samples: int = count - count % batch_size if drop_last else count
        self.num_batches: int = -(-self.num_samples // batch_size)
        self._split = split
        self._lengths = split.texts.lengths
        self._shuffle = shuffle
        self._seed = seed
        self._share = share
        self._device = device
        self._planned: tuple[int, list[Tensor]] = (-1, [])

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """Yield `((tokens, lengths), target)` from batch `start` of epoch `epoch` on."""
        for positions in self._plan(epoch)[start:]:
            tokens, lengths = self._split.texts.padded(positions, PADDING)
            target = self._split.targets[positions]
            if self._share is not None:
                whole = (tokens, lengths), target
                (tokens, lengths), target = self._share.of_batch(whole, self.batch_size)
            yield (tokens.to(self._device), lengths.to(self._device)), target.to(self._device)

    def sample_indices(self, epoch: int, batch: int) -> Tensor | None:
        """Return the rows of a batch in the data that was given, shape `(batch size,)`."""
        positions = self._plan(epoch)[batch]
        return positions if self._split.indices is None else self._split.indices[positions]

    def _plan(self, epoch: int) -> list[Tensor]:
        """Return the samples of each batch of an epoch, by their position in the split."""
        planned = epoch if self._shuffle else 0
        if self._planned[0] != planned:
            self._planned = (planned, self._drawn(planned)[: self.num_batches])
        return self._planned[1]

    def _drawn(self, epoch: int) -> list[Tensor]:
        count = len(self._split)
        if not self._shuffle:
            order = self._by_length(torch.arange(count))
            return list(order[: self.num_samples].split(self.batch_size))
        source = generator(self._seed, "order", epoch)
        order = torch.randperm(count, generator=source)[: self.num_samples]
        pools = order.split(_BATCHES_PER_POOL * self.batch_size)
        batches = [part for pool in pools for part in self._by_length(pool).split(self.batch_size)]
        last = [batches.pop()] if len(batches[-1]) < self.batch_size else []
        places = torch.randperm(len(batches), generator=source).tolist()
        return [*(batches[place] for place in places), *last]

    def _by_length(self, positions: Tensor) -> Tensor:
        return positions[self._lengths[positions].argsort(stable=True)]
