"""The arithmetic of sliding windows: what an option may be, and which maps have room for one."""

from collections.abc import Sequence

from torch import Tensor

from layerwright.errors import OptionError, ShapeError


def pair(layer: str, option: str, value: int | Sequence[int], *, least: int) -> tuple[int, int]:
    """Return `value` as (vertical, horizontal).

    Args:
        layer: name of the layer, for the message.
        option: name of the option, for the message.
        value: one number for both, or two.
        least: the smallest number that makes sense.

    Raises:
        OptionError: `value` is not one or two whole numbers from `least`.
    """
    numbers = (value, value) if isinstance(value, int) else tuple(value)
    if len(numbers) != 2 or any(type(n) is not int or n < least for n in numbers):
        raise OptionError(
            f"{layer} expected {option} to be one or two whole numbers from {least}, "
            f"received {value!r}."
        )
    return numbers


def check_padding(layer: str, kernel: Sequence[int], padding: Sequence[int]) -> None:
    """Refuse padding of more than half a window, which would leave windows without any value.

    Args:
        layer: name of the layer, for the message.
        kernel: height and width of a window.
        padding: rows and columns added on each side.

    Raises:
        OptionError: half a window is exceeded.
    """
    most = (kernel[0] // 2, kernel[1] // 2)
    if padding[0] > most[0] or padding[1] > most[1]:
        raise OptionError(
            f"{layer} expected padding of at most half of kernel_size, {most[0]}x{most[1]}, "
            f"received {padding[0]}x{padding[1]}. Fix: lower padding or raise kernel_size."
        )


def smallest_map(
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    *,
    ceil_mode: bool,
) -> tuple[int, int]:
    """Return height and width of the smallest map in which every window finds a value.

    The number of windows in one dim of size `n` is
    floor((n + 2 padding - dilation (kernel - 1) - 1) / stride) + 1, or ceil in `ceil_mode`.
    """
    height, width = (
        max(
            1,
            dilation[dim] * (kernel[dim] - 1)
            + 1
            - 2 * padding[dim]
            - (stride[dim] - 1 if ceil_mode else 0),
            # a window that begins in the padding must not step over the map
            dilation[dim] if padding[dim] else 1,
        )
        for dim in (0, 1)
    )
    return height, width


def check_map(layer: str, x: Tensor, smallest: Sequence[int]) -> None:
    """Refuse what is no map, or a map without room for one window.

    Args:
        layer: name of the layer, for the message.
        x: the tensor that should be `(N, C, H, W)` or `(C, H, W)`.
        smallest: the least `H` and `W`.

    Raises:
        ShapeError: `x` has another number of dims, or is too small.
    """
    if x.dim() not in (3, 4):
        raise ShapeError(
            f"{layer} expected (N, C, H, W) or (C, H, W), received {tuple(x.shape)}. "
            f"Fix: add the missing dims, such as x.unsqueeze(0), or flatten the extra ones."
        )
    if x.shape[-2] < smallest[0] or x.shape[-1] < smallest[1]:
        raise ShapeError(
            f"{layer} expected maps of at least {smallest[0]}x{smallest[1]}, "
            f"received {x.shape[-2]}x{x.shape[-1]} in {tuple(x.shape)}. "
            f"Fix: use a smaller window, or fewer layers that shrink the map before it."
        )
