"""How large tensors are, and how much they change."""

import math
from statistics import fmean

import torch
from torch import Tensor


def change(one: Tensor, other: Tensor) -> float:
    """Return the root mean square of the difference, over the square root of two."""
    return rms([one.detach().double() - other.detach().double()]) / math.sqrt(2)


def dependence(one: Tensor, other: Tensor) -> float:
    """Return the change from one to the other as a share of the first."""
    scale = rms([one])
    return change(one, other) / scale if scale > 0 else 0.0


def rms(tensors: list[Tensor]) -> float:
    """Return the root mean square of all values; 0 without any."""
    count = sum(tensor.numel() for tensor in tensors)
    squares = [float(tensor.detach().double().square().sum()) for tensor in tensors]
    return math.sqrt(sum(squares) / count) if count else 0.0


def mean_square(values: list[float]) -> float:
    """Return the root of the mean of squares; 0 without any."""
    return math.sqrt(fmean(value**2 for value in values)) if values else 0.0


def norm(tensors: list[Tensor]) -> float | None:
    """Return the Euclidean norm of all values together; None without tensors."""
    dense = [item.to_dense() if item.layout != torch.strided else item for item in tensors]
    if not dense:
        return None
    return math.sqrt(sum(float(item.double().square().sum()) for item in dense))
