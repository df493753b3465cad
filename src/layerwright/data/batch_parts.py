"""What a dataset or a stream gives, taken apart into inputs and target."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from layerwright.data.augmentation import Augmentation
from layerwright.data.interface import Batch
from layerwright.data.normalization import Normalization
from layerwright.data.share import Rows
from layerwright.errors import DataError

PIXELS_AS_SHARES = Normalization((0.0,), (1.0,))  # 0..255 to 0..1


def batch_parts(batch: Any, source: str) -> Batch:
    """Take a batch apart, with dtypes that networks and losses accept.

    Numbers in double or half precision become float32, small integers int64, a bool target 0.0 and
    1.0; uint8 inputs keep their dtype, because they are pixels that are still to be scaled.

    Args:
        batch: `(input, ..., target)` or `((input, ...), target)`, tensors or arrays.
        source: where it comes from, for messages.

    Raises:
        DataError: it has another form, or its parts differ in length.
    """
    if not isinstance(batch, tuple | list) or len(batch) < 2:
        raise DataError(
            f"{source} expected (input, ..., target), received {describe(batch)}. "
            "Fix: return a tuple with at least one input and a target."
        )
    *first, last = batch
    if len(first) == 1 and isinstance(first[0], tuple | list):
        first = list(first[0])
    inputs = tuple(_input(_tensor(part, source)) for part in first)
    target = _target(_tensor(last, source))
    lengths = [len(part) if part.dim() else 0 for part in (*inputs, target)]
    if len(set(lengths)) > 1 or 0 in lengths:
        raise DataError(
            f"{source} expected inputs and target of one length, received lengths "
            f"{', '.join(map(str, lengths))}. Fix: give each batch one target per sample."
        )
    return inputs, target


def finished_batch(
    batch: Batch,
    device: torch.device,
    normalization: Normalization | None,
    augmentation: Augmentation | None,
    place: tuple[int, int],
    rows: Rows | None = None,
) -> Batch:
    """Bring a batch to the device, scale its pixels and augment its first input.

    Args:
        batch: inputs and target.
        device: where it is wanted; a copy from pinned memory does not block.
        normalization: for the first input; other uint8 inputs are scaled to 0..1.
        augmentation: for the first input.
        place: epoch and batch number, which decide what the augmentation draws.
        rows: which rows of the whole batch these are; None for all.
    """
    behind = device.type == "cuda"  # elsewhere a copy that does not block may come too late
    inputs = [part.to(device, non_blocking=behind) for part in batch[0]]
    for position, part in enumerate(inputs):
        if position == 0 and normalization is not None:
            inputs[0] = normalization.apply(part)
        elif part.dtype == torch.uint8:
            inputs[position] = PIXELS_AS_SHARES.apply(part)
    if augmentation is not None:
        inputs[0] = augmentation.apply(inputs[0], *place, rows)
    return tuple(inputs), batch[1].to(device, non_blocking=behind)


def describe(value: Any) -> str:
    """Say what a value is, for messages: its type, and its keys, length or shape."""
    kind = type(value).__name__
    if isinstance(value, Tensor | np.ndarray):
        return f"{kind} of shape {tuple(value.shape)}"
    if isinstance(value, dict):
        return f"dict with keys {', '.join(map(str, value))}"
    if isinstance(value, tuple | list):
        return f"{kind} of length {len(value)}"
    return kind


def _tensor(part: Any, source: str) -> Tensor:
    if isinstance(part, np.ndarray) and part.dtype.kind in "fiub":
        part = torch.tensor(part)
    if not isinstance(part, Tensor):
        raise DataError(
            f"{source} expected tensors or arrays of numbers, received {describe(part)}. "
            "Fix: turn each part into a tensor, in the dataset or in the collate function."
        )
    return part.detach()


def _input(part: Tensor) -> Tensor:
    if part.dtype in (torch.float64, torch.float16, torch.bfloat16, torch.bool):
        return part.to(torch.float32)
    return part.to(torch.int64) if part.dtype in (torch.int8, torch.int16) else part


def _target(part: Tensor) -> Tensor:
    if part.is_floating_point() or part.dtype == torch.bool:
        return part.to(torch.float32)
    return part if part.is_complex() else part.to(torch.int64)
