"""What a split says about itself, before splits are put together to `Data`."""

from dataclasses import dataclass

import torch
from torch import Tensor

from layerwright.errors import DataError

IGNORED_CLASS = -100  # what torch's cross-entropy leaves out


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What is known of a split; the fields are those of `Data`, None where it is unknown."""

    task: str | None = None
    input_shape: tuple[int, ...] | None = None
    target_shape: tuple[int, ...] | None = None
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()


def task_of(dtype: torch.dtype) -> str:
    """Return the task that targets of a dtype mean.

    Raises:
        DataError: complex targets, which no loss takes.
    """
    if dtype == torch.bool:
        return "binary"
    if dtype.is_complex:
        raise DataError(
            f"targets expected real numbers or classes, received {dtype}. "
            "Fix: predict real and imaginary part as two numbers."
        )
    return "regression" if dtype.is_floating_point else "classification"


def count_classes(targets: Tensor) -> int:
    """Return one more than the largest class number; -100 marks what the loss leaves out.

    Args:
        targets: whole numbers, shape `(N,)`, or `(N, ...)` for a class at each place.

    Raises:
        DataError: a class number is negative, or targets are one column of a table.
    """
    if targets.dim() == 2 and targets.shape[1] == 1:
        raise DataError(
            f"class targets expected shape (N,), received {tuple(targets.shape)}. "
            "Fix: pass targets[:, 0], or targets.float() where they are numbers to predict."
        )
    classes = targets[targets != IGNORED_CLASS]
    lowest = int(classes.min()) if len(classes) else 0
    if lowest < 0:
        raise DataError(
            f"class targets expected numbers from 0, received {lowest}. "
            "Fix: number the classes 0, 1, 2, ..., or pass floats to predict numbers."
        )
    return int(classes.max()) + 1 if len(classes) else 0
