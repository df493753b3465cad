"""Batches whose samples are mixed with each other, on the way to training."""

from collections.abc import Generator

from torch import Tensor

from layerwright.data.interface import Batch, Batches
from layerwright.data.seeding import generator
from layerwright.data.share import Share
from layerwright.errors import DataError
from layerwright.layers.regularization.label_smoothing import smooth_targets
from layerwright.layers.regularization.mixup import mixup


class MixedBatches(Batches):
    """The batches of a training split under `mixup`.

    Classes become distributions over the classes. What is drawn is a function of the seed, the
    epoch and the batch, as the batches are.

    Args:
        batches: what is mixed; must hold one floating-point input and class targets.
        alpha: of the Beta distribution, above 0.
        num_classes: number of classes.
        seed: of the run.
        share: which rows of each mixed batch are wanted; None wants all.
    """

    def __init__(
        self,
        batches: Batches,
        alpha: float,
        *,
        num_classes: int,
        seed: int,
        share: Share | None = None,
    ) -> None:
        self._batches = batches
        self._alpha = alpha
        self._num_classes = num_classes
        self._seed = seed
        self._share = share
        self.batch_size = batches.batch_size
        self.num_samples = batches.num_samples
        self.num_batches = batches.num_batches

    def epoch(self, epoch: int, start: int = 0) -> Generator[Batch, None, None]:
        """Yield `(inputs, distributions)` from batch `start` of epoch `epoch` on.

        Raises:
            DataError: a batch has several inputs or one that holds no floating-point numbers, or
                its targets are no classes.
        """
        source = self._batches.epoch(epoch, start)
        try:
            for number, (inputs, target) in enumerate(source, start):
                if len(inputs) != 1 or not inputs[0].is_floating_point():
                    kinds = ", ".join(str(x.dtype).removeprefix("torch.") for x in inputs)
                    raise DataError(
                        f"mixup expected one input of floating-point numbers, received {kinds}. "
                        "Fix: leave mixup out for this data."
                    )
                shares = smooth_targets(target, self._num_classes, dtype=inputs[0].dtype)
                draws = generator(self._seed, "mixup", epoch, number)
                x, mixed = mixup(inputs[0], shares, self._alpha, generator=draws)
                if self._share is None:
                    yield (x,), mixed
                else:  # a sample may be mixed with one of another process's rows
                    yield self._share.of_batch(((x,), mixed), self.batch_size or len(x))
        finally:
            source.close()

    def sample_indices(self, epoch: int, batch: int) -> Tensor | None:
        """Return which samples were in a batch, in their order before they were mixed."""
        return self._batches.sample_indices(epoch, batch)

    def close(self) -> None:
        """Free what the batches keep from one epoch to the next."""
        self._batches.close()
