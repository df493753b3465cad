"""What data is once it is loaded: splits, and the `Data` that holds them."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from layerwright.data.image_scaling import ScaledImages, check_square_images, scale_images
from layerwright.data.normalization import Normalization
from layerwright.data.text_split import TextSplit
from layerwright.data.vocabulary import Vocabulary
from layerwright.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Batching:
    """What a user's own DataLoader decides; None leaves it to the caller of `make_batches`.

    Args:
        batch_size: samples per batch.
        shuffle: whether the order is drawn anew in each epoch.
        workers: number of processes.
        drop_last: leave out the last batch when it is not full.
        prefetch: batches that each worker prepares ahead.
        worker_init: called in each worker with its number, before it loads anything.
    """

    batch_size: int | None = None
    shuffle: bool | None = None
    workers: int | None = None
    drop_last: bool | None = None
    prefetch: int | None = None
    worker_init: Callable[[int], None] | None = None


@dataclass(frozen=True, eq=False)
class TensorSplit:
    """A split in memory, stored raw; batches are gathered and normalised on the way out.

    Args:
        inputs: one tensor for each input of the network, each of shape `(N, ...)`.
        targets: shape `(N, ...)`; int64 for classes, float32 otherwise.
        normalization: how a batch of the first input is normalised; None leaves it as it is.
        indices: the row of each sample in the data that was given, shape `(N,)`; None for all.
        batching: what a user's own DataLoader decides.
    """

    inputs: tuple[Tensor, ...]
    targets: Tensor
    normalization: Normalization | None = None
    indices: Tensor | None = None
    batching: Batching = field(default_factory=Batching)

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.targets)

    @property
    def input_shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shape of one sample of each input."""
        return tuple(tuple(tensor.shape[1:]) for tensor in self.inputs)

    @property
    def labels(self) -> Tensor | None:
        """The class of each sample, shape `(N,)`, where there is one."""
        single = self.targets.dim() == 1 and not self.targets.is_floating_point()
        return self.targets if single else None

    def subset(self, positions: Tensor) -> "TensorSplit":
        """Return the samples at `positions`, shape `(M,)`, as a copy."""
        return replace(
            self,
            inputs=tuple(tensor[positions] for tensor in self.inputs),
            targets=self.targets[positions],
            indices=positions if self.indices is None else self.indices[positions],
        )


@dataclass(frozen=True, eq=False)
class DatasetSplit:
    """A split that stays in a map-style dataset and is read as it is needed.

    Args:
        dataset: `dataset[i]` is one sample `(input, ..., target)`.
        indices: which samples of `dataset` belong to the split, shape `(N,)`; None for all.
        collate: makes a batch of a list of samples; None takes torch's.
        input_shapes: the shape of one sample of each input, as the first one has it.
        labels: the class of each sample of the split, shape `(N,)`, where it is known cheaply.
        normalization: how a batch of the first input is normalised; None leaves it as it is.
        sampler: one of torch's samplers, which draws each epoch's order; None takes all samples.
        prebatched: `dataset[i]` is a whole batch already; the order of batches is kept.
        batching: what a user's own DataLoader decides.
    """

    dataset: Any
    indices: Tensor | None = None
    collate: Callable[[list[Any]], Any] | None = None
    input_shapes: tuple[tuple[int, ...], ...] = ()
    labels: Tensor | None = None
    normalization: Normalization | None = None
    sampler: Any = None
    prebatched: bool = False
    batching: Batching = field(default_factory=Batching)

    def __len__(self) -> int:
        """Return the number of samples, or of batches where the dataset holds whole batches."""
        return len(self.dataset) if self.indices is None else len(self.indices)

    def subset(self, positions: Tensor) -> "DatasetSplit":
        """Return the samples at `positions`, shape `(M,)`; nothing is read."""
        return replace(
            self,
            indices=positions if self.indices is None else self.indices[positions],
            labels=None if self.labels is None else self.labels[positions],
        )


@dataclass(frozen=True, eq=False)
class StreamSplit:
    """A split that can only be iterated: what it gives cannot be had twice for certain.

    Args:
        iterable: gives batches `(input, ..., target)`, or is an `IterableDataset` of samples.
        reason: one sentence that says why it cannot be replayed.
        input_shapes: the shape of one sample of each input, as the first batch has it.
        batch_size: samples per batch for an `IterableDataset`; None leaves it to `make_batches`.
    """

    iterable: Iterable[Any]
    reason: str
    input_shapes: tuple[tuple[int, ...], ...] = ()
    batch_size: int | None = None


SampleSplit = TensorSplit | DatasetSplit | TextSplit  # samples can be chosen
Split = SampleSplit | StreamSplit


@dataclass(frozen=True, eq=False)
class Data:
    """Everything that training, evaluation and networks need to know about data.

    Args:
        name: what the data is called in messages and run folders.
        task: "classification" (targets are class numbers), "binary" (targets are 0.0 and 1.0),
            "regression" (targets are numbers), "detection" (targets are the objects of an image,
            `(K, 5)`: class, left, top, right, bottom; class -1 fills up), or None when it is
            unknown.
        train: what is learned from.
        validation: what choices are made on.
        test: touched once, at the end.
        input_shape: one sample of the first input, without the batch dim, e.g. `(1, 28, 28)`;
            None for texts, which differ in length.
        num_classes: for classification and detection, where it is known.
        class_names: one name for each class, where they have names.
        unreplayable: one sentence that says why batches cannot be had again; None when every
            split can be replayed bit for bit.
        target_shape: one sample's target, without the batch dim; `()` for a single number.
        notes: what was changed on the way in, one sentence each, for people to read.
    """

    name: str
    task: str | None
    train: Split
    validation: Split | None = None
    test: Split | None = None
    input_shape: tuple[int, ...] | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    unreplayable: str | None = None
    target_shape: tuple[int, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What the numbers of texts mean; None for other data."""
        return self.train.vocabulary if isinstance(self.train, TextSplit) else None

    @property
    def num_outputs(self) -> int | None:
        """The numbers that a network gives for one sample: classes, or targets to predict."""
        if self.task in ("classification", "detection"):
            return self.num_classes
        if self.task is None or self.target_shape is None:
            return None
        return math.prod(self.target_shape)

    def with_image_size(self, size: int) -> "Data":
        """Return the data with its square images scaled to `(size, size)`, in every split.

        Images are scaled bilinearly (digits: 8x8 to 28x28). 8-bit pixels stay 8-bit; the digits'
        17 levels become numbers. The normalisation stays the one of the original size.

        Raises:
            DataError: the first input is not a square image, or the data is a stream.
        """
        check_square_images(self.input_shape, size)
        shape = self.input_shape
        if shape is None or shape[-1] == size:
            return self
        return replace(
            self,
            train=_scaled(self.train, size),
            validation=None if self.validation is None else _scaled(self.validation, size),
            test=None if self.test is None else _scaled(self.test, size),
            input_shape=(shape[0], size, size),
        )


def _scaled(split: Split, size: int) -> Split:
    channels = split.input_shapes[0][0]
    shapes = ((channels, size, size), *split.input_shapes[1:])
    if isinstance(split, TensorSplit):
        images, scale = split.inputs[0], split.normalization.scale if split.normalization else 1.0
        whole_numbers = images.dtype == torch.uint8 and scale == 255.0
        scaled = scale_images(images, size, whole_numbers=whole_numbers)
        return replace(split, inputs=(scaled, *split.inputs[1:]))
    if isinstance(split, DatasetSplit) and not split.prebatched:
        return replace(split, dataset=ScaledImages(split.dataset, size), input_shapes=shapes)
    raise DataError(
        f"with_image_size expected single images, received ready batches ({type(split).__name__}). "
        "Fix: scale the images where the batches are made."
    )
