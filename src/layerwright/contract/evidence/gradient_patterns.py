"""What lies between a gradient and the slope that was measured: a factor, a sign, a lost term."""

from collections.abc import Sequence

import torch
from torch import Tensor

from layerwright.contract.comparing import number
from layerwright.contract.evidence.numeric_gradients import Entry


def mismatched(entries: Sequence[Entry], tolerance: float, floor: float) -> list[Entry]:
    """Return the entries whose two gradients differ by more than the tolerance.

    Differences that are tiny beside the largest gradient do not count.
    """
    scale = _scale(entries)
    return [
        item
        for item in entries
        if abs(item.analytic - item.numeric)
        > tolerance * max(abs(item.analytic), abs(item.numeric), 0.25 * scale) + floor
    ]


def is_surrogate(entries: Sequence[Entry], wrong: Sequence[Entry], floor: float) -> bool:
    """Tell whether gradients stand where forward is flat: that is how surrogates are made.

    So do straight-through estimators, spiking surrogates, quantisers and pruning masks. Where most
    values do nothing to the output and yet get a gradient, the formula is no derivative on purpose.
    """
    scale = _scale(entries)
    flat = [
        item
        for item in wrong
        if abs(item.numeric) <= 1e-4 * scale + floor and abs(item.analytic) > 1e-3 * scale
    ]
    return len(flat) == len(wrong) or 2 * len(flat) > len(entries)


def pattern(entries: Sequence[Entry], gradient: Tensor, batch: int | None) -> str:
    """Name what turns the right gradient into the one that was returned, or "" if nothing does.

    Args:
        entries: that were compared.
        gradient: all of the gradient that the formula returned.
        batch: the number of samples, if there are several.
    """
    telling = [item for item in entries if abs(item.numeric) > 1e-3 * _scale(entries)]
    if not telling:
        return ""
    if all(item.analytic == 0 for item in telling):
        return "the formula returns zeros"
    ratios = [item.analytic / item.numeric for item in telling]
    first = sorted(ratios)[len(ratios) // 2]
    if len(ratios) > 1 and all(abs(item - first) <= 0.02 * abs(first) for item in ratios):
        return _factor(first, batch)
    return _shape_of_error(telling, gradient)


def _shape_of_error(telling: Sequence[Entry], gradient: Tensor) -> str:
    if gradient.dim() == 2 and gradient.shape[0] == gradient.shape[1]:
        turned = gradient.T.flatten()
        if all(_near(float(turned[item.place].real), item.numeric) for item in telling):
            return "it is the transpose of the right gradient"
    if all(_near(abs(item.analytic), abs(item.numeric)) for item in telling):
        return "some signs are wrong"
    zeros = sum(item.analytic == 0 for item in telling)
    rest = [item for item in telling if item.analytic != 0]
    if zeros and all(_near(item.analytic, item.numeric) for item in rest):
        return f"{zeros} of {len(telling)} values get no gradient, the others the right one"
    return "a term of it is missing or wrong"


def is_rectifier(argument: Tensor, output: Tensor) -> bool:
    """Tell whether the output is the argument with its negative values at zero."""
    return (
        argument.shape == output.shape
        and not argument.is_complex()
        and bool((argument < 0).any())
        and torch.equal(argument.clamp(min=0), output.to(argument.dtype))
    )


def is_quantiser(argument: Tensor, output: Tensor) -> bool:
    """Tell whether many different values became few, zero not counted, as rounding does."""
    if argument.shape != output.shape or output.is_complex() or output.numel() < 4:
        return False
    values = output[output != 0]
    return 2 * values.unique().numel() <= values.numel() < 2 * argument.unique().numel()


def _factor(factor: float, batch: int | None) -> str:
    if abs(factor + 1) <= 0.02:
        return "its sign is wrong"
    if batch and batch > 1 and abs(factor - batch) <= 0.02 * batch:
        return f"it is {batch} times too large: a sum over the batch instead of a mean"
    if batch and batch > 1 and abs(factor * batch - 1) <= 0.02:
        return f"it is {batch} times too small: a mean over the batch instead of a sum"
    return f"it is {number(round(factor, 4))} times the right gradient"


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= 0.02 * max(abs(one), abs(other))


def _scale(entries: Sequence[Entry]) -> float:
    return max((max(abs(item.analytic), abs(item.numeric)) for item in entries), default=0.0)
