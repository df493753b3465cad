"""Comparisons: one table of tolerances, and a difference told in words."""

from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from layerwright.contract.trees import Named, dtype_name, is_float, named_tensors

# Relative to the largest value of the tensor: sums in another order differ by a few roundings of
# their largest terms. Multiples of the dtype's rounding error.
ROUNDINGS = 256.0


def tolerance_of(dtype: torch.dtype) -> float:
    """Return how far two computations of one thing may differ, relative to the largest value."""
    return ROUNDINGS * torch.finfo(dtype).eps


def difference(
    expected: Any, actual: Any, *, exact: bool = False, tolerance: float | None = None
) -> str | None:
    """Tell how two trees of tensors differ, or None if they agree.

    NaN equals NaN. Floating-point tensors may differ by `tolerance` times their largest value,
    by default that of their dtype (see `tolerance_of`); all others must be equal.

    Args:
        expected: an output.
        actual: what it is compared with.
        exact: compare bit for bit.
        tolerance: relative to the largest finite value of `expected`.

    Returns:
        Words with numbers, such as "3 of 8 values differ, the largest by 0.5 at [0, 1]: ...".
    """
    for one, other in zip_longest(named_tensors(expected), named_tensors(actual)):
        if one is None or other is None:
            return f"{_count(expected)} tensors against {_count(actual)}"
        words = _tensor_difference(one, other.tensor, exact=exact, tolerance=tolerance)
        if words:
            return words if one.name == "output" else f"{one.name}: {words}"
    return None


def _tensor_difference(
    named: Named, actual: Tensor, *, exact: bool, tolerance: float | None
) -> str | None:
    expected = named.tensor.detach()
    actual = actual.detach()
    if expected.shape != actual.shape:
        return f"shape {tuple(actual.shape)} instead of {tuple(expected.shape)}"
    if expected.dtype != actual.dtype:
        return f"{dtype_name(actual.dtype)} instead of {dtype_name(expected.dtype)}"
    if expected.is_sparse or expected.is_quantized or expected.layout != torch.strided:
        expected, actual = _dense(expected), _dense(actual)
    if expected.numel() == 0:
        return None
    if not is_float(expected):
        wrong = expected != actual
        return _words(expected, actual, wrong) if bool(wrong.any()) else None
    both_nan = expected.isnan() & actual.isnan()
    wrong = (expected != actual) & ~both_nan
    if not exact and bool(wrong.any()):
        scale = expected[expected.isfinite()].abs().max() if expected.isfinite().any() else 0.0
        if tolerance is None:
            tolerance = tolerance_of(expected.dtype)
        allowed = max(float(scale) * tolerance, torch.finfo(expected.dtype).tiny)
        wrong &= ~((actual - expected).abs() <= allowed)  # a NaN on one side only stays wrong
    return _words(expected, actual, wrong) if bool(wrong.any()) else None


def _words(expected: Tensor, actual: Tensor, wrong: Tensor) -> str:
    gap = (
        (actual.double() - expected.double()).abs()
        if not expected.is_complex()
        else (actual - expected).abs()
    )
    gap = gap.nan_to_num(nan=float("inf"), posinf=float("inf")).where(wrong, -1.0)
    place = _index(int(gap.argmax()), gap.shape)
    at = f" at {place}" if place else ""
    return (
        f"{int(wrong.sum())} of {wrong.numel()} values differ, the most{at}: "
        f"{number(actual[tuple(place)])} instead of {number(expected[tuple(place)])}"
    )


def _index(flat: int, shape: torch.Size) -> list[int]:
    """Return the index of a flat position (torch.unravel_index would import sympy)."""
    place: list[int] = []
    for size in reversed(shape):
        flat, rest = divmod(flat, size)
        place.insert(0, rest)
    return place


def number(value: Any) -> str:
    """Write a number with at most six digits."""
    value = value.item() if isinstance(value, Tensor) else value
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _dense(tensor: Tensor) -> Tensor:
    return tensor.dequantize() if tensor.is_quantized else tensor.to_dense()


def _count(tree: Any) -> int:
    return sum(1 for _ in named_tensors(tree))
