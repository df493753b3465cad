"""Boxes: anchors, overlap, and their description relative to an anchor.

A box is `(left, top, right, bottom)`, in shares of the image's width and height, so that it means
the same at any resolution; the whole image is (0, 0, 1, 1).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from layerwright.errors import OptionError

_MOST_STRETCH = 4.0  # exp of it is the largest factor between a box and its anchor: 55


def checked_sizes(user: str, sizes: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    """Return sizes of anchors as pairs of numbers.

    Args:
        user: what needs them, for the message.
        sizes: (height, width) of each anchor, as shares of the image.

    Raises:
        OptionError: there is none, or one is no pair of positive numbers.
    """
    pairs = tuple(tuple(map(float, size)) for size in sizes)
    if not pairs or any(
        len(pair) != 2 or not all(0 < n < float("inf") for n in pair) for pair in pairs
    ):
        raise OptionError(
            f"{user} expected anchors to be one or more pairs (height, width) of positive shares "
            f"of the image, received {sizes!r}."
        )
    return tuple((height, width) for height, width in pairs)


def anchor_boxes(
    height: int,
    width: int,
    sizes: Sequence[Sequence[float]],
    *,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Return boxes of the given sizes around the centre of each cell of a grid.

    Args:
        height: number of rows of cells.
        width: number of columns.
        sizes: (height, width) of each anchor, as shares of the image.
        device: of the result.
        dtype: of the result.

    Returns:
        `(height, width, len(sizes), 4)`; anchors at the edge reach beyond the image.
    """
    y = (torch.arange(height, device=device, dtype=dtype or torch.float32) + 0.5) / max(height, 1)
    x = (torch.arange(width, device=device, dtype=y.dtype) + 0.5) / max(width, 1)
    half = torch.tensor(sizes, device=device, dtype=y.dtype).view(1, 1, -1, 2) / 2
    y, x = y.view(-1, 1, 1), x.view(1, -1, 1)
    sides = (x - half[..., 1], y - half[..., 0], x + half[..., 1], y + half[..., 0])
    return torch.stack(torch.broadcast_tensors(*sides), -1)


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Return the overlap of each pair of boxes: shared area over joint area, from 0 to 1.

    A box without area overlaps with nothing.

    Args:
        first: `(..., M, 4)`.
        second: `(..., K, 4)`.

    Returns:
        `(..., M, K)`.
    """
    first, second = first.unsqueeze(-2), second.unsqueeze(-3)
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    shared = (high - low).clamp_min(0).prod(-1)
    joint = areas(first) + areas(second) - shared
    return torch.where(shared > 0, shared / joint, 0.0)


def areas(boxes: Tensor) -> Tensor:
    """Return the area of each box, `(..., 4)`; 0 where right is not right of left."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp_min(0).prod(-1)


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    r"""Describe boxes relative to anchors: what a network learns to say.

    $$ \left( \frac{x - x_a}{w_a}, \; \frac{y - y_a}{h_a}, \; \log \frac{w}{w_a}, \;
       \log \frac{h}{h_a} \right) $$

    with centre (x, y), width w and height h. Boxes without area have no finite description.

    Args:
        boxes: `(..., 4)`.
        anchors: `(..., 4)`.
    """
    size, anchor_size = boxes[..., 2:] - boxes[..., :2], anchors[..., 2:] - anchors[..., :2]
    shift = (boxes[..., :2] + boxes[..., 2:] - anchors[..., :2] - anchors[..., 2:]) / 2
    return torch.cat([shift / anchor_size, (size / anchor_size).log()], -1)


def decode(offsets: Tensor, anchors: Tensor) -> Tensor:
    """Return the boxes that are so described: the inverse of `encode`.

    A side grows to 55 times its anchor's at most, so that no box is infinite.

    Args:
        offsets: `(..., 4)`.
        anchors: `(..., 4)`.
    """
    anchor_size = anchors[..., 2:] - anchors[..., :2]
    centre = (anchors[..., :2] + anchors[..., 2:]) / 2 + offsets[..., :2] * anchor_size
    half = offsets[..., 2:].clamp_max(_MOST_STRETCH).exp() * anchor_size / 2
    return torch.cat([centre - half, centre + half], -1)
