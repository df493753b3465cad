"""Pixel values to numbers around zero."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Normalization:
    r"""Per-channel normalisation of the first input, applied to whole batches.

    $$ y = (x / \text{scale} - \text{mean}) / \text{std} $$

    It is computed as `(x - mean * scale) * (1 / (std * scale))` in float32, one rounding for each
    operation, so that a sample comes out the same whatever batch it is in.

    Args:
        mean: one value for each channel (dim 1), or one for all.
        std: likewise.
        scale: the raw value that means 1.0: 255 for 8-bit pixels, 1 for numbers.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 255.0

    def apply(self, batch: Tensor) -> Tensor:
        """Return the normalised copy of `batch`, shape `(N, C, ...)`, as float32."""
        shift, factor = _constants(self, batch.dim(), batch.device)
        return batch.to(torch.float32, copy=True).sub_(shift).mul_(factor)

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Normalization":
        """Rebuild what `as_dict` returned, also after a way through JSON."""
        return cls(tuple(values["mean"]), tuple(values["std"]), float(values["scale"]))


@lru_cache(maxsize=64)
def _constants(
    normalization: Normalization, num_dims: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    shape = (-1, *[1] * (num_dims - 2))
    mean = torch.tensor(normalization.mean, dtype=torch.float64)
    std = torch.tensor(normalization.std, dtype=torch.float64)
    shift = mean * normalization.scale
    factor = 1.0 / (std * normalization.scale)
    return (
        shift.to(device, torch.float32).view(shape),
        factor.to(device, torch.float32).view(shape),
    )
