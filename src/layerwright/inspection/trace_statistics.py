"""Statistics of what each layer puts out, and of the gradients that come back to it."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class LayerStatistics:
    """One layer, table or activation, or the network's input or output, on one batch.

    Numbers are over all values of all calls; None is not measured, or not defined.

    Attributes:
        name: as in `named_modules`; an activation that is a function is called "after: function".
        kind: the class of the module, or the function.
        role: "layer" for a module with weights, "table" for an embedding, "activation", "input"
            or "output".
        num_calls: calls in the forward pass.
        num_values: values that were put out.
        mean: of the output.
        spread: standard deviation of the output.
        zeros: share of the output that is exactly zero.
        varying: the share of the output that is different from sample to sample, 0 to 1: the
            standard deviation over dim 0 against the root mean square.
        finite: whether all values of the output are.
        dead: share of units of an activation that are zero, and flat, for every sample.
        saturated: share of values of an activation that are not zero, and where it is flat.
        gradient_mean: mean of the gradient at the output.
        gradient_spread: standard deviation of that gradient.
        gradient_zeros: share of it that is exactly zero.
        gradient_norm: its Euclidean norm.
        gradient_finite: whether all of it is.
        weight: root mean square of the weights, biases left out.
        update: norm of the step's change of the weights over the norm of the weights before it.
        final: whether the output reaches the network's without passing another layer.
    """

    name: str
    kind: str
    role: str
    num_calls: int = 1
    num_values: int = 0
    mean: float | None = None
    spread: float | None = None
    zeros: float | None = None
    varying: float | None = None
    finite: bool = True
    dead: float | None = None
    saturated: float | None = None
    gradient_mean: float | None = None
    gradient_spread: float | None = None
    gradient_zeros: float | None = None
    gradient_norm: float | None = None
    gradient_finite: bool | None = None
    weight: float | None = None
    update: float | None = None
    final: bool = False

    @property
    def scale(self) -> float | None:
        """Root mean square of the output."""
        if self.mean is None or self.spread is None:
            return None
        return math.hypot(self.mean, self.spread)


@dataclass(frozen=True)
class Moments:
    """What is kept of a tensor, still on its device: nobody waits for it in the middle of a pass.

    Attributes:
        count: number of values.
        numbers: largest magnitude; of the values over it the mean, variance and mean variance
            over dim 0; share of zeros; 1 if all are finite.
    """

    count: int
    numbers: Tensor


def moments(tensor: Tensor) -> Moments | None:
    """Measure a tensor; None where it holds no values in the ordinary layout.

    Values are divided by the largest one first, so that the squares of very small gradients do
    not vanish in float32.
    """
    if tensor.layout != torch.strided or tensor.is_nested or not tensor.numel():
        return None
    values = tensor.detach()
    if torch.finfo(values.dtype).bits < 32:
        values = values.float()
    largest = values.abs().max()
    unit = values / torch.where(largest > 0, largest, 1)
    variance, mean = torch.var_mean(unit, correction=0)
    several = values.dim() > 0 and len(values) > 1
    over_samples = unit.var(0, correction=0).mean() if several else torch.full_like(mean, math.nan)
    zeros, finite = (values == 0).to(mean.dtype).mean(), values.isfinite().all().to(mean.dtype)
    numbers = torch.stack([largest, mean, variance, over_samples, zeros, finite])
    return Moments(values.numel(), numbers)


def pooled(calls: Iterable[Moments | None]) -> dict[str, Any] | None:
    """Put the moments of all calls of a layer together; None without any.

    Returns:
        count, mean, spread, zeros, varying, norm and finite.
    """
    known = [(call.count, call.numbers.tolist()) for call in calls if call is not None]
    if not known:
        return None
    total = sum(count for count, _ in known)
    finite = all(numbers[5] == 1 for _, numbers in known)
    zeros = sum(count * numbers[4] for count, numbers in known) / total
    if not finite:
        return {"count": total, "mean": None, "spread": None, "zeros": zeros, "varying": None,
                "norm": None, "finite": False}  # fmt: skip
    mean = sum(count * numbers[0] * numbers[1] for count, numbers in known) / total
    square = sum(count * n[0] ** 2 * (n[1] ** 2 + n[2]) for count, n in known) / total
    spread = math.sqrt(max(square - mean**2, 0.0)) if len(known) > 1 else _spread(known[0][1])
    moving = [n[0] ** 2 * n[3] for _, n in known if not math.isnan(n[3])]
    varying = math.sqrt(fmean(moving) / square) if moving and square > 0 else None
    if moving and square == 0:
        varying = 0.0
    return {"count": total, "mean": mean, "spread": spread, "zeros": zeros, "varying": varying,
            "norm": math.sqrt(square * total), "finite": True}  # fmt: skip


def _spread(numbers: list[float]) -> float:
    return numbers[0] * math.sqrt(numbers[2])
