"""A user's own DataLoader: taken apart and rebuilt where that can be replayed."""

from dataclasses import replace
from typing import Any

import torch
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    default_collate,
)

from layerwright.data.facts import Facts
from layerwright.data.from_dataset import split_from_dataset
from layerwright.data.from_stream import split_from_stream
from layerwright.data.splits import Batching, DatasetSplit, Split, TensorSplit


def split_from_loader(loader: DataLoader[Any], *, shuffles: bool) -> tuple[Split, Facts]:
    """Make a split that gives what `loader` gives, in an order that a seed decides.

    Dataset, batch size, collate function, workers and kind of order are the loader's; its
    `generator` is replaced by the seed of the run. torch's own samplers can be replayed. A sampler
    or a DataLoader class of the user's own, and an `IterableDataset`, are iterated as they are.

    Args:
        loader: a DataLoader.
        shuffles: whether the split is learned from; other splits keep the order of the dataset,
            and all of their samples.

    Raises:
        DataError: the dataset is empty, or a sample has another form.
    """
    reason = _obstacle(loader)
    if reason is not None:
        return split_from_stream(loader, reason)
    sampler = loader.sampler
    batching = Batching(
        batch_size=loader.batch_size,
        shuffle=isinstance(sampler, RandomSampler | SubsetRandomSampler) if shuffles else None,
        workers=loader.num_workers,
        drop_last=loader.drop_last if shuffles else None,
        prefetch=loader.prefetch_factor,
        worker_init=loader.worker_init_fn,
    )
    prebatched = loader.batch_size is None
    own_collate = not prebatched and loader.collate_fn is not default_collate
    collate = loader.collate_fn if own_collate else None
    split, facts = split_from_dataset(
        loader.dataset, collate=collate, batching=batching, prebatched=prebatched
    )
    if isinstance(sampler, SubsetRandomSampler):
        return split.subset(torch.as_tensor(sampler.indices, dtype=torch.int64)), facts
    if shuffles and _draws_repeatedly(sampler):
        return _drawn(split, sampler, loader), facts
    return split, facts


def _obstacle(loader: DataLoader[Any]) -> str | None:
    """Say in one sentence why what the loader gives cannot be replayed; None if it can."""
    if isinstance(loader.dataset, IterableDataset):
        return "The data is an IterableDataset, which cannot be started at a given batch."
    if type(loader) is not DataLoader:
        return f"The data comes from {type(loader).__name__}, which decides its own order."
    by_batches = loader.batch_sampler
    if by_batches is not None and type(by_batches) is not BatchSampler:
        return f"The batch sampler {type(by_batches).__name__} cannot be started at a given batch."
    known = (SequentialSampler, RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
    if type(loader.sampler) not in known:
        return f"The sampler {type(loader.sampler).__name__} cannot be started at a given batch."
    return None


def _draws_repeatedly(sampler: Any) -> bool:
    """Whether an epoch is something else than every sample once."""
    if isinstance(sampler, RandomSampler):
        return sampler.replacement or sampler.num_samples != len(sampler.data_source)
    return isinstance(sampler, WeightedRandomSampler)


def _drawn(
    split: TensorSplit | DatasetSplit, sampler: Any, loader: DataLoader[Any]
) -> DatasetSplit:
    """Keep the sampler, which then draws each epoch's order under the seed of the run."""
    if isinstance(split, TensorSplit):
        split = DatasetSplit(
            loader.dataset,
            input_shapes=split.input_shapes,
            normalization=split.normalization,
            batching=split.batching,
        )
    elif split.indices is not None:  # the sampler counts within the Subset
        split = replace(split, dataset=loader.dataset, indices=None, labels=None)
    return replace(split, sampler=sampler)
