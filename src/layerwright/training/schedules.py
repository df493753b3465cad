"""How the learning rate changes over a run: a pure function of the step, so resuming is exact."""

import math
from collections.abc import Callable
from typing import Any

from layerwright.errors import OptionError
from layerwright.names import look_up, name_of

ONE_CYCLE_WARM_UP = 0.3  # the share of the steps in which the learning rate rises
ONE_CYCLE_START = 1 / 25  # its factor at the first step
ONE_CYCLE_END = ONE_CYCLE_START / 1e4  # its factor at the last step


def constant(_step: int, _total_steps: int) -> float:
    """The peak learning rate at each step."""
    return 1.0


def cosine(step: int, total_steps: int) -> float:
    """Fall from 1 along half a cosine: `(1 + cos(π step / total_steps)) / 2`.

    It would reach 0 one step after the last, as `CosineAnnealingLR(T_max=total_steps)` does.

    Reference:
        Loshchilov and Hutter (2017), "SGDR", https://arxiv.org/abs/1608.03983
    """
    return (1 + math.cos(math.pi * step / total_steps)) / 2


def one_cycle(step: int, total_steps: int) -> float:
    """Rise from 1/25 to 1 in the first 30 % of the steps, then fall to 1/250000; both by cosines.

    The learning rates of torch's `OneCycleLR` with its defaults; the momentum is left alone. A
    run of one step takes it at the peak.

    Reference:
        Smith and Topin (2018), "Super-Convergence", https://arxiv.org/abs/1708.07120
    """
    peak, last = ONE_CYCLE_WARM_UP * total_steps - 1, total_steps - 1
    if last == 0:
        return 1.0
    if step <= peak:
        return _between(ONE_CYCLE_START, 1.0, step / peak if peak else 1.0)
    return _between(1.0, ONE_CYCLE_END, (step - peak) / (last - peak))


SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "constant": constant,
    "cosine": cosine,
    "one-cycle": one_cycle,
}


def resolve_schedule(
    spec: str | Callable[[int, int], float], total_steps: int
) -> Callable[[int], float]:
    """Return the function from a step to the factor of the peak learning rate.

    Args:
        spec: a name from `SCHEDULES`, or a callable `(step, total_steps) -> factor`. It must
            depend on nothing else, or a resumed run differs from an uninterrupted one.
        total_steps: the number of optimizer steps of the whole run.

    Returns:
        A function of the step, 0 to `total_steps - 1`; past the end the last factor stays.

    Raises:
        OptionError: the name is unknown, `spec` cannot be called or `total_steps` is below 1; the
            returned function raises it where a user's factor is negative or not finite.
    """
    if isinstance(spec, str):
        return _bound(look_up("schedule", spec, SCHEDULES), total_steps)
    if not callable(spec):
        raise OptionError(
            f"schedule expected a name or a callable (step, total_steps) -> factor, received "
            f"{spec!r}. Fix: choose one of {', '.join(SCHEDULES)}, or give a function."
        )
    return _bound(_checked(spec), total_steps)


def _bound(schedule: Callable[[int, int], float], total_steps: int) -> Callable[[int], float]:
    if total_steps < 1:
        raise OptionError(
            f"schedule expected at least 1 step in total, received {total_steps}. "
            "Fix: train for at least one epoch on at least one batch."
        )
    if schedule is constant:
        return lambda _step: 1.0
    last = total_steps - 1
    return lambda step: schedule(min(step, last), total_steps)


def _checked(spec: Callable[[int, int], Any]) -> Callable[[int, int], float]:
    def schedule(step: int, total_steps: int) -> float:
        received = spec(step, total_steps)
        try:
            factor = float(received)
        except (TypeError, ValueError):
            factor = math.nan
        if 0 <= factor < math.inf:
            return factor
        raise OptionError(
            f"schedule {name_of(spec)!r} expected a factor from 0, received {received!r} at step "
            f"{step} of {total_steps}. Fix: return a finite number."
        )

    return schedule


def _between(start: float, end: float, share: float) -> float:
    """Go from `start` to `end` along half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
