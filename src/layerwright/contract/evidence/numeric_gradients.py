"""Central differences: what a gradient must be, measured by moving an argument a little."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

ENTRIES = 24  # that are looked at one by one, of one argument


@dataclass(frozen=True)
class Slope:
    """How a scalar function changes along one direction.

    Attributes:
        value: the central difference.
        smooth: whether the differences to both sides agree; false at a kink or a jump.
        floor: what rounding alone may put into `value`.
    """

    value: float
    smooth: bool
    floor: float


@dataclass(frozen=True)
class Entry:
    """One value of an argument: its place, and its gradient by formula and by differences."""

    place: int
    analytic: float
    numeric: float


class Difference:
    """Differences of a scalar function of one tensor.

    Args:
        function: returns a float, and how large the terms are that it adds up.
        at: the point; real or complex. Steps are relative to its values.
        exact: whether the function computes in float64; default whether `at` is of that dtype.
    """

    def __init__(
        self,
        function: Callable[[Tensor], tuple[float, float]],
        at: Tensor,
        *,
        exact: bool | None = None,
    ) -> None:
        self.function, self.at = function, at
        if exact is None:
            exact = at.dtype in {torch.float64, torch.complex128}
        size = float(at.detach().abs().double().square().mean().sqrt()) if at.numel() else 0.0
        # Steps that the rounding of the dtype allows; see the error of central differences.
        self.step = (1e-6 if exact else 3e-3) * max(size, 1e-3 if exact else 1e-1)
        self.rounding = 2.3e-16 if exact else 1.2e-7
        self.tolerance = 0.02 if exact else 0.08
        self.middle, self.size = function(at)

    def along(self, direction: Tensor, step: float | None = None) -> Slope:
        """Return the slope along a direction with values around one."""
        step = self.step if step is None else step
        ahead, _ = self.function(self.at + step * direction)
        behind, _ = self.function(self.at - step * direction)
        right, left = (ahead - self.middle) / step, (self.middle - behind) / step
        floor = 16 * self.rounding * self.size / step
        bend = abs(right - left)
        finite = abs(ahead) < float("inf") and abs(behind) < float("inf")
        smooth = finite and bend <= self.tolerance * max(abs(right), abs(left)) + 2 * floor
        return Slope((ahead - behind) / (2 * step), smooth, floor)

    def steady(self, direction: Tensor) -> Slope:
        """Return the slope along a direction; smooth only if three step sizes agree on it."""
        first = self.along(direction)
        for factor in (0.3, 3.0):
            other = self.along(direction, factor * self.step)
            gap = abs(other.value - first.value)
            allowed = self.tolerance * max(abs(other.value), abs(first.value))
            if not (other.smooth and gap <= allowed + first.floor + other.floor):
                return Slope(first.value, smooth=False, floor=first.floor)
        return first

    def entries(self, gradient: Tensor, places: Iterable[int]) -> list[Entry]:
        """Return the entries at these places, without those at kinks."""
        found = []
        for place in places:
            direction = self.one(place)
            slope = self.steady(direction)
            if slope.smooth:
                found.append(Entry(place, product(gradient, direction), slope.value))
        return found

    def one(self, place: int) -> Tensor:
        """Return the direction that moves a single value."""
        direction = torch.zeros_like(self.at).flatten()
        direction[place] = torch.tensor(0.8 + 0.6j if self.at.is_complex() else 1.0)
        return direction.view(self.at.shape)

    def suspect(self, gradient: Tensor, direction: Tensor) -> int:
        """Return the place where gradient and slope disagree most, by halving."""
        flat = direction.flatten()
        low, high = 0, flat.numel()
        gap = self.gap(gradient, direction)
        while high - low > 1:
            middle = (low + high) // 2
            part = torch.zeros_like(flat)
            part[low:middle] = flat[low:middle]
            first = self.gap(gradient, part.view(self.at.shape))
            if abs(first) >= abs(gap - first):
                high, gap = middle, first
            else:
                low, gap = middle, gap - first
        return low

    def gap(self, gradient: Tensor, direction: Tensor) -> float:
        """Return by how much the slope exceeds what a gradient claims."""
        return self.along(direction).value - product(gradient, direction)


def product(gradient: Tensor, direction: Tensor) -> float:
    """Return the slope along a direction that a gradient claims."""
    if gradient.is_complex():
        return float((gradient.conj() * direction).real.sum())
    return float((gradient.double() * direction.double()).sum())


def directions(like: Tensor, count: int, seed: int = 0) -> list[Tensor]:
    """Return random directions with the shape and dtype of a tensor."""
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        torch.randn((*like.shape, 2), generator=generator, dtype=torch.float64).clamp(-2, 2)
        for _ in range(count)
    ]
    if like.is_complex():
        return [torch.view_as_complex(item).to(like) for item in drawn]
    return [item[..., 0].to(like) for item in drawn]


def sampled(count: int, seed: int = 0, most: int = ENTRIES) -> list[int]:
    """Return up to `most` places of `count`, in order; fewer of very many."""
    most = most if count <= 50_000 else most // 4
    generator = torch.Generator().manual_seed(seed)
    return sorted(torch.randperm(count, generator=generator)[:most].tolist())
