"""What a network is told about its data, checked before layers are built from it."""

from collections.abc import Sequence
from operator import index

from torch import Tensor

from layerwright.errors import OptionError, ShapeError


def sample_shape(network: str, input_shape: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of one sample as a tuple of ints.

    Args:
        network: name of the network, for the message.
        input_shape: the sizes of all dims but the batch's.

    Raises:
        ShapeError: there are no dims, or a size is not a whole number from 1.
    """
    try:
        shape = tuple(index(size) for size in input_shape)
    except TypeError:
        shape = ()
    if not shape or min(shape) < 1:
        raise ShapeError(
            f"{network} expected input_shape to hold the sizes of one sample, whole numbers from "
            f"1, received {input_shape!r}. Fix: leave the batch dim out, such as (1, 28, 28)."
        )
    return shape


def map_shape(network: str, input_shape: Sequence[int], smallest: int) -> tuple[int, int, int]:
    """Return channels, height and width of one sample.

    Args:
        network: name of the network, for the message.
        input_shape: the sizes of all dims but the batch's.
        smallest: the least height and width that leave the last layer something to see.

    Raises:
        ShapeError: there are not three dims, or the map is too small.
    """
    shape = sample_shape(network, input_shape)
    if len(shape) != 3:
        raise ShapeError(
            f"{network} expected input_shape to be (channels, height, width), received {shape}. "
            f"Fix: give images, or use simplenet, which takes any shape."
        )
    channels, height, width = shape
    if min(height, width) < smallest:
        raise ShapeError(
            f"{network} needs maps of at least {smallest}x{smallest}, "
            f"received input_shape={shape}. "
            f"Fix: scale the images up, or use simplenet, which takes any size."
        )
    return channels, height, width


def check_count(network: str, option: str, value: int, *, least: int = 1) -> None:
    """Refuse a count that is too small.

    Args:
        network: name of the network, for the message.
        option: name of the option, for the message.
        value: what was given.
        least: the smallest count that makes sense.

    Raises:
        OptionError: `value` is not a whole number from `least`.
    """
    try:
        fits = index(value) >= least
    except TypeError:
        fits = False
    if not fits:
        raise OptionError(
            f"{network} expected {option} to be a whole number from {least}, received {value!r}."
        )


def check_counts(network: str, **counts: int) -> None:
    """Refuse counts below 1.

    Args:
        network: name of the network, for the message.
        counts: what was given, by the name of the option.

    Raises:
        OptionError: one is not a whole number from 1.
    """
    for option, value in counts.items():
        check_count(network, option, value)


def check_batch(network: str, x: Tensor, input_shape: tuple[int, ...]) -> None:
    """Refuse a batch of samples that have another shape than the network was built for.

    Args:
        network: name of the network, for the message.
        x: the batch.
        input_shape: shape of one sample.

    Raises:
        ShapeError: `x` is not `(N, *input_shape)`.
    """
    if x.shape[1:] == input_shape:
        return
    if x.shape == input_shape:
        fix = "add the batch dim of a single sample with x.unsqueeze(0)."
    elif x.dim() < 2:
        fix = "put the samples along dim 0 and their features along dim 1."
    else:
        fix = f"build the network with input_shape={tuple(x.shape[1:])}, or reshape the batch."
    expected = ", ".join(["N", *map(str, input_shape)])
    raise ShapeError(
        f"{network} expected a batch of shape ({expected}), received {tuple(x.shape)}. Fix: {fix}"
    )
