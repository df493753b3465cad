"""Which rows of each batch belong to this process, when several train together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from layerwright.data.interface import Batch
from layerwright.errors import OptionError


@dataclass(frozen=True)
class Rows:
    """The rows `first .. last-1` of a batch that holds `count`."""

    first: int
    last: int
    count: int


@dataclass(frozen=True)
class Share:
    """The part of every batch that one of several processes takes.

    A batch is cut into contiguous parts whose sizes differ by one at most, the first ones larger,
    so that all processes together hold each of its samples once. Where full batches leave every
    process two samples or more, a smaller batch at the end of an epoch leaves none with a single
    one, which batch norm could not work on: fewer processes take part in it. Who has no part works
    on a *stand-in*, the first rows of the batch, whose gradient must then count nothing.

    Args:
        rank: of this process, from 0.
        size: number of processes.
    """

    rank: int
    size: int

    def require_enough(self, batch_size: int) -> None:
        """Refuse batches that are too small to be shared out.

        Raises:
            OptionError: there are fewer samples than processes.
        """
        if batch_size < self.size:
            raise OptionError(
                f"batch_size expected at least one sample for each of {self.size} processes, "
                f"received {batch_size}; it is the size of the whole batch, which they share. "
                f"Fix: --batch-size {64 * self.size}, or fewer processes."
            )

    def own(self, count: int, batch_size: int) -> tuple[int, int]:
        """Return the first row and the end of this process's part, which may be empty.

        Args:
            count: samples of the batch.
            batch_size: samples of a full batch.
        """
        sharers = self.size
        if count < batch_size and batch_size >= 2 * self.size:
            sharers = max(1, min(self.size, count // 2))
        if self.rank >= sharers:
            return count, count
        base, extra = divmod(count, sharers)
        first = self.rank * base + min(self.rank, extra)
        return first, first + base + (self.rank < extra)

    def num_own(self, count: int, batch_size: int) -> int:
        """Return how many samples of a batch count here."""
        first, last = self.own(count, batch_size)
        return last - first

    def rows(self, count: int, batch_size: int) -> Rows:
        """Return the rows to work on: this process's part, or a stand-in."""
        first, last = self.own(count, batch_size)
        return Rows(first, last, count) if last > first else Rows(0, min(2, count), count)

    def of_batch(self, batch: Batch, batch_size: int) -> Batch:
        """Cut the rows to work on out of a whole batch."""
        rows = self.rows(len(batch[1]), batch_size)
        inputs = tuple(part[rows.first : rows.last] for part in batch[0])
        return inputs, batch[1][rows.first : rows.last]

    def of_order(self, order: Tensor, batch_size: int) -> tuple[Tensor, Sequence[int]]:
        """Cut the rows to work on out of the order of an epoch.

        Returns:
            The samples to take, and how many of them belong to each batch.
        """
        full, rest = divmod(len(order), batch_size)
        rows = self.rows(batch_size, batch_size)
        whole = order[: full * batch_size].view(full, batch_size)[:, rows.first : rows.last]
        parts, sizes = [whole.reshape(-1)], [rows.last - rows.first] * full
        if rest:
            rows = self.rows(rest, batch_size)
            parts.append(order[full * batch_size :][rows.first : rows.last])
            sizes.append(rows.last - rows.first)
        return torch.cat(parts), sizes
