"""Degenerate inputs that still lie in a layer's domain, as the example inputs show it."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from layerwright.contract.probe import Probe
from layerwright.contract.trees import Inputs, Named


@dataclass(frozen=True)
class Degenerate:
    """Inputs that many formulas forget.

    Attributes:
        words: such as "input x all zero".
        inputs: fresh tensors.
    """

    words: str
    inputs: Inputs


def degenerate_inputs(probe: Probe) -> Iterator[Degenerate]:
    """Yield inputs with one tensor all zero, one constant, or two tensors equal.

    Values outside of what the example inputs show are never given: zeros only where the example
    holds values on both sides of zero, or zeros; nothing where rows are normalised or sorted.
    """
    free = [item for item in real_floats(probe) if is_free(item.tensor)]
    for item in free:
        if _spans_zero(item.tensor):
            zeros = torch.zeros_like(item.tensor)
            yield Degenerate(f"input {item.name} all zero", _replaced(probe, item.name, zeros))
        values = item.tensor.detach().flatten()
        constant = values[values.abs().argsort()[len(values) // 2]]
        filled = constant.expand(item.tensor.shape).clone()
        yield Degenerate(
            f"input {item.name} constant, {float(constant):.3g}",
            _replaced(probe, item.name, filled),
        )
    for one in free:
        for other in free:
            if one.name < other.name and _alike(one.tensor, other.tensor):
                yield Degenerate(
                    f"inputs {one.name} and {other.name} equal",
                    _replaced(probe, other.name, one.tensor.detach().clone()),
                )


def real_floats(probe: Probe) -> list[Named]:
    """Return the real floating-point inputs that hold numbers."""
    return [
        item
        for item in probe.inputs().floats()
        if item.tensor.is_floating_point() and item.tensor.numel() and not item.tensor.is_sparse
    ]


def is_free(tensor: Tensor) -> bool:
    """Tell whether the values of an example look independent of each other.

    Masks and one-hot rows, rows of norm or sum one, sorted rows, symmetric matrices and whole
    numbers are not free: other values may be none that the layer is made for.
    """
    values = tensor.detach()
    if not bool(values.isfinite().all()) or bool((values == values.round()).all()):
        return False
    if values.dim() == 0 or values.shape[-1] < 2:
        return True
    for dim in range(1 if values.dim() > 1 else 0, values.dim()):
        if values.shape[dim] < 2:
            continue
        sums, norms = values.sum(dim), values.norm(dim=dim)
        if _all_one(sums) or _all_one(norms) or _all_one(values.exp().sum(dim)):
            return False
    if values.shape[-1] > 2:
        steps = values.diff(dim=-1)
        if bool((steps > 0).all()) or bool((steps < 0).all()):
            return False
    square = values.dim() >= 2 and values.shape[-1] == values.shape[-2]
    return not (square and torch.allclose(values, values.transpose(-1, -2)))


def is_unbounded(tensor: Tensor) -> bool:
    """Tell whether an example shows no bounds: free values on both sides of zero, beyond one."""
    values = tensor.detach()
    return is_free(tensor) and bool((values < 0).any()) and bool(values.max() > 1.0)


def _all_one(values: Tensor) -> bool:
    return torch.allclose(values, torch.ones_like(values), atol=1e-4)


def _spans_zero(tensor: Tensor) -> bool:
    return bool(tensor.min() <= 0) and bool(tensor.max() >= 0)


def _alike(one: Tensor, other: Tensor) -> bool:
    """Tell whether two examples have one shape and one range of values."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if _spans_zero(one) != _spans_zero(other):
        return False
    low, high = max(one.min(), other.min()), min(one.max(), other.max())
    wide = max(one.max(), other.max()) - min(one.min(), other.min())
    return bool(high - low > 0.4 * wide)


def _replaced(probe: Probe, name: str, new: Tensor) -> Inputs:
    return probe.inputs().replaced(name, new)
