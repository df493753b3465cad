"""A user's own map-style dataset: `dataset[i]` and `len(dataset)`."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset, default_collate

from layerwright.data.batch_parts import batch_parts, describe
from layerwright.data.facts import Facts, count_classes, task_of
from layerwright.data.from_tensors import split_from_tensors
from layerwright.data.seeding import private_randomness
from layerwright.data.splits import Batching, DatasetSplit, TensorSplit
from layerwright.errors import DataError


def split_from_dataset(
    dataset: Any,
    *,
    collate: Callable[[list[Any]], Any] | None = None,
    batching: Batching | None = None,
    prebatched: bool = False,
) -> tuple[TensorSplit | DatasetSplit, Facts]:
    """Make a split of a map-style dataset; one sample is read to see what it gives.

    A `TensorDataset`, or a `Subset` of one, is in memory and takes the fast way. Classes are taken
    from `dataset.targets` and `dataset.classes` where the dataset has them, as torchvision's do.

    Args:
        dataset: `dataset[i]` is `(input, ..., target)`, or a whole batch of it.
        collate: makes a batch of a list of samples; None takes torch's.
        batching: what a user's own DataLoader decides.
        prebatched: `dataset[i]` is a whole batch.

    Raises:
        DataError: it is empty, or a sample has another form.
    """
    batching = batching or Batching()
    if len(dataset) == 0:
        raise DataError(
            f"the dataset {type(dataset).__name__} expected at least one sample, received none. "
            "Fix: look at where it searches for its data."
        )
    whole, indices = _without_subsets(dataset)
    default = collate is None or collate is default_collate
    if type(whole) is TensorDataset and len(whole.tensors) > 1 and default and not prebatched:
        return _in_memory(whole, indices, batching)
    batch = _first_batch(dataset, collate or default_collate, prebatched=prebatched)
    inputs, target = batch_parts(batch, f"the first sample of {type(dataset).__name__}")
    task = task_of(torch.as_tensor(batch[-1]).dtype)
    labels, names, num_classes = None, None, None
    if task == "classification":
        names = _class_names(whole)
        labels = None if prebatched else _labels(whole, indices, target)
        num_classes = len(names) if names else None
        if labels is not None:
            num_classes = max(num_classes or 0, count_classes(labels))
    split = DatasetSplit(
        whole,
        indices,
        collate=collate,
        input_shapes=tuple(tuple(part.shape[1:]) for part in inputs),
        labels=labels,
        prebatched=prebatched,
        batching=batching,
    )
    facts = Facts(
        task=task,
        input_shape=split.input_shapes[0],
        target_shape=tuple(target.shape[1:]),
        num_classes=num_classes,
        class_names=names,
    )
    return split, facts


def holds_batches(items: list[Any]) -> bool:
    """Tell a list of batches from a list of samples: a sample's target is a single number."""
    first = items[0]
    if not isinstance(first, tuple | list) or len(first) < 2:
        return False
    target = first[-1]
    return isinstance(target, Tensor | np.ndarray) and target.ndim > 0


def _in_memory(
    dataset: TensorDataset, indices: Tensor | None, batching: Batching
) -> tuple[TensorSplit, Facts]:
    *inputs, targets = dataset.tensors
    split, facts = split_from_tensors(inputs[0] if len(inputs) == 1 else tuple(inputs), targets)
    split = replace(split, batching=batching)
    return (split if indices is None else split.subset(indices)), facts


def _without_subsets(dataset: Any) -> tuple[Any, Tensor | None]:
    """Look through torch's `Subset`, so that labels and row numbers are those of the whole."""
    indices: Tensor | None = None
    while type(dataset) is Subset:
        chosen = torch.as_tensor(np.asarray(dataset.indices), dtype=torch.int64)
        indices = chosen if indices is None else chosen[indices]
        dataset = dataset.dataset
    return dataset, indices


def _first_batch(dataset: Any, collate: Callable[[list[Any]], Any], *, prebatched: bool) -> Any:
    with private_randomness(0, "first sample"):
        sample = dataset[0]
        if prebatched:
            return sample
        try:
            return collate([sample])
        except TypeError as error:
            parts = ", ".join(map(describe, sample)) if isinstance(sample, tuple | list) else ""
            raise DataError(
                f"the first sample of {type(dataset).__name__} expected tensors, arrays or numbers,"
                f" received {describe(sample)}{f' ({parts})' if parts else ''}. "
                "Fix: turn each part into a tensor in the dataset."
            ) from error


def _labels(dataset: Any, indices: Tensor | None, first_target: Tensor) -> Tensor | None:
    """Classes from `dataset.targets`, if they are what the first sample says."""
    known = getattr(dataset, "targets", None)
    if not isinstance(known, Tensor | np.ndarray | list) or len(known) != len(dataset):
        return None
    try:
        labels = torch.as_tensor(known)
    except (TypeError, ValueError, RuntimeError):
        return None
    if labels.dim() != 1 or labels.is_floating_point() or labels.is_complex():
        return None
    labels = labels.to(torch.int64) if indices is None else labels[indices].to(torch.int64)
    is_same = first_target.shape == (1,) and int(labels[0]) == first_target.item()
    return labels if is_same else None


def _class_names(dataset: Any) -> tuple[str, ...] | None:
    names = getattr(dataset, "classes", None)
    if isinstance(names, list | tuple) and names and all(isinstance(name, str) for name in names):
        return tuple(names)
    return None
