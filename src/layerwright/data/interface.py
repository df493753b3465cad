"""The one interface behind which every way to batches stands."""

from abc import ABC, abstractmethod
from collections.abc import Generator

from torch import Tensor

Batch = tuple[tuple[Tensor, ...], Tensor]  # (inputs, target)


class Batches(ABC):
    """The batches of one split, epoch after epoch.

    Unless the data is a stream, batch `b` of epoch `e` is a pure function of `(seed, e, b)`: it
    holds the same bits in another process, with any number of workers, and whether the batches
    before it were taken or not. No global generator is read or changed.

    Attributes:
        batch_size: samples per batch, the last one of an epoch may hold fewer; None when the data
            comes in batches of its own.
        num_samples: samples of one epoch; None when it is unknown.
        num_batches: batches of one epoch; None when it is unknown.
    """

    batch_size: int | None
    num_samples: int | None
    num_batches: int | None

    @abstractmethod
    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """Yield `(inputs, target)` from batch `start` of epoch `epoch` on, both counted from 0.

        Closing the generator early frees what it holds, worker processes included.
        """

    @abstractmethod
    def sample_indices(self, epoch: int, batch: int) -> Tensor | None:
        """Return which samples were in a batch, by their row in the data that was given.

        Returns:
            int64, shape `(batch size,)`; None when it is unknown.
        """

    def close(self) -> None:  # noqa: B027 - most keep nothing
        """Free what is kept from one epoch to the next, such as worker processes."""
