"""Whether one custom backward formula is the derivative of its forward, and if not, why not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from layerwright.contract.evidence.gradient_patterns import (
    is_quantiser,
    is_rectifier,
    is_surrogate,
    mismatched,
    pattern,
)
from layerwright.contract.evidence.numeric_gradients import (
    Difference,
    Entry,
    directions,
    product,
    sampled,
)
from layerwright.contract.evidence.replaying import Replay

_SURROGATE = "forward is flat where backward sends gradients, as surrogate gradients are made"
_IDENTITY = "its forward returns an argument as it is, so that its backward is what it is for"
_BENT = "its backward is not linear in what it receives, so that it changes gradients on purpose"


@dataclass(frozen=True)
class Fault:
    """A wrong gradient of one argument.

    Attributes:
        place: of the argument.
        entry: the value that is most wrong.
        at: the index of that value.
        wrong: how many of the compared values are wrong.
        compared: how many were compared.
        pattern: what turns the right gradient into this one, in words; "" if nothing does.
    """

    place: int
    entry: Entry
    at: tuple[int, ...]
    wrong: int
    compared: int
    pattern: str


@dataclass(frozen=True)
class Verdict:
    """What came of a comparison: faults, or the reason why none can be named."""

    faults: tuple[Fault, ...] = ()
    excuse: str = ""


class _Unjudged(Exception):  # noqa: N818 - it is no error
    """A formula cannot be judged, for this reason."""


def compare(replay: Replay) -> Verdict:
    """Compare a formula with central differences, in float64 where its forward bears that."""
    replay = replay.precise()
    try:
        leaves, outputs, sent = _called(replay)
        found = _returned(replay, leaves, outputs, sent)
        faults = [
            fault
            for place, gradient in zip(replay.wanted, found, strict=True)
            if gradient is not None and gradient.numel() and bool(gradient.isfinite().all())
            if (fault := _fault(replay, place, gradient, leaves, outputs, sent)) is not None
        ]
        if faults and _bent(replay, sent):
            raise _Unjudged(_BENT)  # noqa: TRY301 - one way out for all reasons
    except _Unjudged as reason:
        return Verdict(excuse=str(reason))
    return Verdict(tuple(faults))


def _called(replay: Replay) -> tuple[list[Any], list[Tensor], list[Tensor | None]]:
    """Return arguments, outputs, and what is sent back into each output that is judged."""
    try:
        leaves = replay.leaves()
        outputs = replay.run(leaves)
        again = replay.run(replay.leaves())
    except Exception as error:
        name = type(error).__name__
        raise _Unjudged(f"it does not run outside of the layer: {name}") from error
    carrying = [output.requires_grad for output in outputs]
    if not any(carrying):
        raise _Unjudged("no output carries gradients")
    if not all(map(_equal, outputs, again)):
        raise _Unjudged("two equal calls give different outputs")
    sent = [
        weight if carries and not _is_one_of(output, leaves) else None
        for output, weight, carries in zip(outputs, replay.weights(outputs), carrying, strict=True)
    ]
    if all(weight is None for weight in sent):
        raise _Unjudged(_IDENTITY)
    return leaves, outputs, sent


def _returned(
    replay: Replay, leaves: list[Any], outputs: list[Tensor], sent: Sequence[Tensor | None]
) -> list[Tensor | None]:
    # Copies, for a formula that writes what it receives: another rule says so.
    copies = [None if weight is None else weight.clone() for weight in sent]
    try:
        return replay.gradients(leaves, outputs, copies)
    except Exception as error:
        raise _Unjudged(f"its backward raised {type(error).__name__}") from error


def _fault(
    replay: Replay,
    place: int,
    gradient: Tensor,
    leaves: list[Any],
    outputs: list[Tensor],
    sent: Sequence[Tensor | None],
) -> Fault | None:
    """Return what is wrong with the gradient of one argument, or None."""
    argument = leaves[place].detach()
    difference = Difference(_projected(replay, place, sent), argument)
    entries = _suspicious(difference, gradient)
    floor = 32 * difference.rounding * difference.size / difference.step
    wrong = mismatched(entries, difference.tolerance, floor)
    if not wrong:
        return None
    words = _unmasked(argument, outputs, sent, wrong)
    if not words:
        quantised = any(is_quantiser(argument, output.detach()) for output in outputs)
        if quantised or is_surrogate(entries, wrong, floor):
            raise _Unjudged(_SURROGATE)
        words = pattern(entries, gradient, _batch(leaves))
    worst = max(wrong, key=lambda item: abs(item.analytic - item.numeric))
    index = torch.unravel_index(torch.tensor(worst.place), argument.shape)
    at = tuple(int(part) for part in index)
    return Fault(place, worst, at, len(wrong), len(entries), words)


def _projected(
    replay: Replay, place: int, sent: Sequence[Tensor | None]
) -> Callable[[Tensor], tuple[float, float]]:
    """Return the scalar whose gradient is compared, as a function of one argument."""

    def function(value: Tensor) -> tuple[float, float]:
        leaves = replay.leaves(())
        leaves[place] = value
        try:
            with torch.no_grad():
                outputs = replay.run(leaves)
        except Exception as error:  # it differentiates its arguments itself, as estimators do
            name = type(error).__name__
            raise _Unjudged(f"it does not run on arguments without gradients: {name}") from error
        total = size = 0.0
        for output, weight in zip(outputs, sent, strict=True):
            if weight is not None:
                terms = (output * weight.conj()).real if weight.is_complex() else output * weight
                total += float(terms.double().sum())
                size += float(terms.double().square().sum().sqrt())
        return total, size

    return function


def _suspicious(difference: Difference, gradient: Tensor) -> list[Entry]:
    """Return entries to compare one by one, or none if random directions agree."""
    places: set[int] = set()
    doubt = False
    exact = difference.rounding < 1e-10
    for direction in directions(gradient, 2):
        claimed = product(gradient, direction)
        terms = float((gradient * direction).abs().double().square().sum().sqrt())
        # A kink within the step looks like a wrong value; a shorter step leaves it out.
        for step in (difference.step, 0.1 * difference.step):
            slope = difference.along(direction, step)
            allowed = (1e-4 if exact else 0.02) * max(terms, abs(slope.value)) + slope.floor
            if slope.smooth and abs(slope.value - claimed) <= allowed:
                break
        else:
            doubt = True
            places.add(difference.suspect(gradient, direction))
    if not doubt:
        return []
    places.update(sampled(gradient.numel()))
    return difference.entries(gradient, sorted(places))


def _unmasked(
    argument: Tensor,
    outputs: Sequence[Tensor],
    sent: Sequence[Tensor | None],
    wrong: Sequence[Entry],
) -> str:
    """Tell in words if a rectifier lets gradients through where it is closed."""
    if len(outputs) != 1 or sent[0] is None or not is_rectifier(argument, outputs[0].detach()):
        return ""
    weight = sent[0].flatten()
    if all(abs(item.analytic - float(weight[item.place])) < 1e-3 for item in wrong):
        return "the gradient passes where forward cuts negative values off: its mask is missing"
    return ""


def _bent(replay: Replay, sent: Sequence[Tensor | None]) -> bool:
    """Tell whether backward clips, normalises or selects what it receives.

    A formula that ignores what it receives, or squares it, is a bug and no such thing.
    """

    def returned(factor: float) -> list[Tensor]:
        leaves = replay.leaves()
        outputs = replay.run(leaves)
        scaled = [None if item is None else factor * item for item in sent]
        found = replay.gradients(leaves, outputs, scaled)
        return [item / abs(factor) for item in found if item is not None]

    plain, turned, small = returned(1.0), returned(-1.0), returned(1e-3)
    odd = all(_equal(one, -other, 1e-3) for one, other in zip(plain, turned, strict=True))
    even = all(_equal(one, other, 1e-3) for one, other in zip(plain, turned, strict=True))
    scales = all(_equal(one, other, 1e-3) for one, other in zip(plain, small, strict=True))
    return not even and not (odd and scales)


def _batch(leaves: Sequence[object]) -> int | None:
    tensors = [item for item in leaves if isinstance(item, Tensor) and item.dim() > 0]
    return tensors[0].shape[0] if tensors else None


def _is_one_of(output: Tensor, leaves: Sequence[object]) -> bool:
    return any(
        isinstance(leaf, Tensor) and leaf.dtype == output.dtype and torch.equal(leaf, output)
        for leaf in leaves
    )


def _equal(one: Tensor, other: Tensor, tolerance: float = 1e-6) -> bool:
    if one.shape != other.shape:
        return False
    gap = (one.detach() - other.detach()).abs().nan_to_num(0.0)
    scale = float(one.detach().abs().nan_to_num(0.0).max()) if one.numel() else 0.0
    return not one.numel() or float(gap.max()) <= tolerance * scale
