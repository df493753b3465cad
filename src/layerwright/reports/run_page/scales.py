"""Axes: where a value stands, which values get a tick, and how they are written."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

_LOG_FROM = 30.0  # times the smallest value, from which on a logarithmic axis shows more
_MOST_TICKS = 5


@dataclass(frozen=True)
class Scale:
    """An axis from `low` to `high`, linear or logarithmic."""

    low: float
    high: float
    is_log: bool = False

    def share(self, value: float) -> float:
        """Return how far a value stands along the axis, 0 to 1."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return round values on the axis, five at the most where it is linear."""
        if self.is_log:
            first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
            every = max(1, -(-(last - first) // _MOST_TICKS))
            steps = {1: (1.0, 2.0, 5.0), 2: (1.0, 2.0, 5.0), 3: (1.0, 3.0)}.get(
                last - first, (1.0,)
            )
            found = [
                step * 10.0**power for power in range(first, last + 1, every) for step in steps
            ]
            return [tick for tick in found if self.low <= tick <= self.high]
        step = _round_step((self.high - self.low) / _MOST_TICKS)
        start = math.ceil(self.low / step - 1e-9)
        end = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(start, end + 1)]


def scale_of(
    values: Iterable[float], kind: Literal["linear", "from zero", "fitting"] = "linear"
) -> Scale:
    """Return the axis that shows all values, with some air around them.

    Args:
        values: finite ones; where there are none the axis goes from 0 to 1.
        kind: "from zero" begins there; "fitting" is logarithmic where values of very different
            sizes would hide each other.
    """
    known = list(values) or [0.0, 1.0]
    low, high = min(known), max(known)
    if kind == "fitting" and low > 0 and high / low > _LOG_FROM:
        return Scale(low / 1.2, high * 1.2, is_log=True)
    if kind == "from zero":
        low = min(low, 0.0)
    air = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    low_end = low - air
    return Scale(0.0 if low >= 0 > low_end else low_end, high + air)


def epochs_scale(first: int, last: int) -> Scale:
    """Return the axis of epochs; a single one stands in its middle."""
    return Scale(first - 0.5, last + 0.5) if first == last else Scale(first, last)


def number(value: float | None, *, as_percent: bool = False) -> str:
    """Return a value as it is read: four digits, or percent."""
    if value is None:
        return "not finite"
    if as_percent:
        return f"{100 * value:.2f} %"
    return f"{value:.4g}"


def tick_text(value: float, *, as_percent: bool = False) -> str:
    """Return a value as a tick shows it."""
    return f"{100 * value:.6g} %" if as_percent else f"{value:.6g}"


def _round_step(step: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
