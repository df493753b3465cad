"""What surrounds an image before the kernel passes over it."""

from torch import Tensor
from torch.nn import functional as F

Pair = tuple[int, int]


def sides(padding: Pair | str, kernel_size: Pair, dilation: Pair) -> tuple[Pair, Pair]:
    """Return what is added at top and left, and at bottom and right, in rows and columns.

    "valid" adds nothing; "same" adds dilation (kernel - 1) in all, so that at stride 1 the map
    keeps its size, and puts an odd one at the bottom or right, as torch does.
    """
    if padding == "valid":
        return (0, 0), (0, 0)
    if isinstance(padding, str):
        down, across = (step * (size - 1) for step, size in zip(dilation, kernel_size, strict=True))
        return (down // 2, across // 2), (down - down // 2, across - across // 2)
    return padding, padding


def pad(
    x: Tensor, padding: Pair | str, padding_mode: str, kernel_size: Pair, dilation: Pair
) -> tuple[Tensor, Pair]:
    """Add what the convolution itself cannot add.

    It adds zeros, as many before as after.

    Args:
        x: (N, C, H, W) or (C, H, W).
        padding: what is added on each side, down and across, or "same" or "valid".
        padding_mode: "zeros", "reflect", "replicate" or "circular".
        kernel_size: the kernel's height and width.
        dilation: steps between its points, down and across.

    Returns:
        The larger image, and the padding left to the convolution.
    """
    (top, left), (bottom, right) = sides(padding, kernel_size, dilation)
    if padding_mode != "zeros":
        return F.pad(x, (left, right, top, bottom), mode=padding_mode), (0, 0)
    if (top, left) != (bottom, right):
        x = F.pad(x, (0, right - left, 0, bottom - top))
    return x, (top, left)


def smallest_map(padding: Pair | str, padding_mode: str, kernel_size: Pair, dilation: Pair) -> Pair:
    """Return the least height and width on which a kernel finds one place.

    A reflection needs one row more than it adds, a wrapped image as many as it adds.
    """
    before, after = sides(padding, kernel_size, dilation)
    height, width = (
        max(
            step * (size - 1) + 1 - low - high,
            {"reflect": max(low, high) + 1, "circular": max(low, high)}.get(padding_mode, 1),
        )
        for step, size, low, high in zip(dilation, kernel_size, before, after, strict=True)
    )
    return height, width
