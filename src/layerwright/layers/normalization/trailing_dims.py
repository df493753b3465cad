"""Which dims a normalisation takes together: the last ones, of a declared shape."""

from collections.abc import Sequence

import torch
from torch import Tensor

from layerwright.errors import OptionError, ShapeError
from layerwright.layers.normalization.standardization import scaled, standardize


def trailing_shape(layer: str, shape: int | Sequence[int]) -> tuple[int, ...]:
    """Return `shape` as a tuple of sizes.

    Args:
        layer: name of the layer, for the message.
        shape: one size, or several.

    Raises:
        OptionError: it is empty, or a size is no whole number from 1.
    """
    sizes = tuple(shape) if isinstance(shape, Sequence) else (shape,)
    if not sizes or any(type(size) is not int or size < 1 for size in sizes):
        raise OptionError(
            f"{layer} expected normalized_shape to be one or more whole numbers from 1, "
            f"received {shape!r}."
        )
    return sizes


@torch.fx.wrap  # symbolic tracing records the call and leaves its decisions to the run
def normalize_trailing(
    layer: str,
    x: Tensor,
    shape: tuple[int, ...],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    *,
    centred: bool,
) -> Tensor:
    """Standardise the last dims of `x` together, then apply gain and bias.

    Args:
        layer: name of the layer, for the message.
        x: (..., *shape).
        shape: sizes of the dims that are taken together.
        weight: the gain, of this shape, or None.
        bias: of this shape, or None.
        eps: added to the variance or mean square.
        centred: subtract the mean first.

    Raises:
        ShapeError: the last dims of `x` are others.
    """
    if tuple(x.shape[-len(shape) :]) != shape:
        wanted = ", ".join(map(str, shape))
        raise ShapeError(
            f"{layer} expected an input of shape (..., {wanted}), received {tuple(x.shape)}. "
            f"Fix: make the last dims {wanted}, or change normalized_shape."
        )
    rows = x if len(shape) == 1 else x.flatten(-len(shape))
    return scaled(standardize(rows, eps, centred=centred).view(x.shape), weight, bias)
