"""A user's own tensors or arrays."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from layerwright.data.batch_parts import PIXELS_AS_SHARES, describe
from layerwright.data.facts import Facts, count_classes, task_of
from layerwright.data.splits import TensorSplit
from layerwright.errors import DataError


def split_from_tensors(inputs: Any, targets: Any) -> tuple[TensorSplit, Facts]:
    """Make a split of tensors, arrays or whatever numpy can read.

    Floats become float32 and are not normalised. uint8 inputs are read as pixels and scaled to
    0..1; pass int64 for token numbers. Whole-number targets are classes, bool targets are binary,
    float targets are numbers to predict.

    Args:
        inputs: shape `(N, ...)`, or a tuple of such for several inputs.
        targets: shape `(N,)` or `(N, ...)`.

    Raises:
        DataError: lengths differ, there is no sample, or something is not numbers.
    """
    notes: list[str] = []
    several = isinstance(inputs, tuple)
    raw = [_tensor(part, "inputs") for part in (inputs if several else (inputs,))]
    tensors = tuple(_input(part, notes, scaled_here=several) for part in raw)
    target = _tensor(targets, "targets")
    lengths = [len(part) for part in (*tensors, target)]
    if len(set(lengths)) > 1 or lengths[0] == 0:
        raise DataError(
            f"data expected one target for each input, received "
            f"{', '.join(map(str, lengths[:-1]))} inputs and {lengths[-1]} targets. "
            "Fix: give inputs and targets the same first dim, of at least 1."
        )
    task = task_of(target.dtype)
    num_classes = count_classes(target) if task == "classification" else None
    wanted = torch.int64 if task == "classification" else torch.float32
    if task == "regression" and target.dtype != wanted:
        notes.append(f"Targets were converted from {_name(target.dtype)} to float32.")
    pixels = not several and tensors[0].dtype == torch.uint8
    split = TensorSplit(
        tensors, target.to(wanted).contiguous(), PIXELS_AS_SHARES if pixels else None
    )
    facts = Facts(
        task=task,
        input_shape=split.input_shapes[0],
        target_shape=tuple(target.shape[1:]),
        num_classes=num_classes,
        notes=tuple(notes),
    )
    return split, facts


def _tensor(value: Any, what: str) -> Tensor:
    """Return `value` as a dense tensor on the CPU, without a copy where that is possible."""
    if isinstance(value, Tensor) and not value.is_sparse:
        tensor = value.detach().cpu()
    elif isinstance(value, np.ndarray | list) or hasattr(value, "__array__"):
        tensor = _from_array(value, what)
    else:
        raise DataError(
            f"{what} expected a tensor or an array, received {describe(value)}. Fix: pass "
            "(inputs, targets), or {'train': ..., 'test': ...} for data that is split already."
        )
    if tensor.dim() == 0:
        raise DataError(
            f"{what} expected shape (N, ...), received a single number. Fix: add the batch dim."
        )
    return tensor


def _from_array(value: Any, what: str) -> Tensor:
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{what} expected numbers in one shape, received {describe(value)} that numpy cannot "
            f"read: {error}. Fix: give all samples the same shape."
        ) from error
    if array.dtype.kind not in "fiubc":
        raise DataError(
            f"{what} expected numbers, received an array of {array.dtype}. "
            "Fix: encode text and categories as numbers first."
        )
    if array.dtype.kind == "u" and array.itemsize > 1:
        array = array.astype(np.int64)
    if array.dtype.kind == "f" and array.itemsize > 8:
        array = array.astype(np.float64)
    if not array.flags.writeable or not array.dtype.isnative or not array.flags.c_contiguous:
        array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    return torch.from_numpy(array)


def _input(part: Tensor, notes: list[str], *, scaled_here: bool) -> Tensor:
    dtype = part.dtype
    if dtype == torch.uint8:
        notes.append("Inputs of dtype uint8 are read as pixels and scaled from 0..255 to 0..1.")
        return PIXELS_AS_SHARES.apply(part) if scaled_here else part.contiguous()
    if dtype in (torch.float64, torch.float16, torch.bfloat16, torch.bool):
        notes.append(f"Inputs were converted from {_name(dtype)} to float32.")
        return part.to(torch.float32).contiguous()
    if dtype in (torch.int8, torch.int16):
        return part.to(torch.int64).contiguous()
    return part.contiguous()


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
