"""Fixed splits: validation carved from train, and a part of train that stands for the whole."""

import numpy as np
import torch
from torch import Tensor

from layerwright.data.seeding import fixed_order
from layerwright.data.splits import SampleSplit


def stratified_order(count: int, labels: Tensor | None, *parts: int | str) -> Tensor:
    """Return an order of all samples whose every beginning holds the classes in their shares.

    Each sample gets the place of its rank within its class, drawn at random and divided by the
    class's size. The first k samples then hold each class `k * share` times, within one or two.

    Args:
        count: number of samples.
        labels: the class of each, shape `(count,)`; None draws without classes.
        parts: what the order is drawn for; the same for ever.

    Returns:
        A permutation of `range(count)`, int64.
    """
    order = fixed_order(count, *parts)
    if labels is None:
        return order
    drawn = labels[order].numpy()
    by_class = np.argsort(drawn, kind="stable")
    _, sizes = np.unique(drawn, return_counts=True)
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    ranks = np.empty(count)
    ranks[by_class] = (np.arange(count) - starts + 0.5) / np.repeat(sizes, sizes)
    return order[torch.from_numpy(np.argsort(ranks, kind="stable"))]


def carve_validation(
    train: SampleSplit, share: float, seed: int
) -> tuple[SampleSplit, SampleSplit | None]:
    """Carve a share of the training split off for validation, by class where classes are known.

    Returns:
        What is left to train on, and the validation split; None where the share is no sample.
    """
    count = len(train)
    num_validation = min(round(count * share), count - 1)
    if num_validation == 0:
        return train, None
    order = stratified_order(count, train.labels, "validation", seed)
    validation = train.subset(order[:num_validation].sort().values)
    return train.subset(order[num_validation:].sort().values), validation


def limited(train: SampleSplit, limit: int, seed: int) -> SampleSplit:
    """Keep `limit` samples, by class where classes are known; a larger limit keeps these too."""
    if limit >= len(train):
        return train
    order = stratified_order(len(train), train.labels, "limit", seed)
    return train.subset(order[:limit].sort().values)
