"""Random crops, flips and rotations of whole batches of images, drawn for each sample."""

import math
from collections.abc import Callable, Sequence
from difflib import get_close_matches

import torch
from torch import Tensor
from torch.nn import functional as F

from layerwright.data.seeding import mixed_seed
from layerwright.errors import DataError, OptionError

_REACH_DEGREES = 10.0


def crop(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to an eighth of its size, in each direction of its own.

    This equals padding by `p = size // 8` (4 pixels for 32x32, 3 for 28x28) and cropping at a
    random place, with the image reflected at its border, so that no artificial edge appears.

    Args:
        images: shape `(N, C, H, W)`, any dtype and device.
        generator: on the CPU.
    """
    height, width = images.shape[-2:]
    rows = _reflected(_shifted(len(images), height, generator), height)
    columns = _reflected(_shifted(len(images), width, generator), width)
    return _pick(images, rows, columns)


def flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image left to right with probability one half.

    Args:
        images: shape `(N, C, H, W)`, any dtype and device.
        generator: on the CPU.
    """
    height, width = images.shape[-2:]
    mirrored = torch.rand(len(images), 1, generator=generator) < 0.5
    columns = torch.arange(width)
    columns = torch.where(mirrored, columns.flip(0), columns)
    return _pick(images, torch.arange(height).expand(len(images), height), columns)


def rotate(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each image around its middle by up to ten degrees, in either direction.

    Values between pixels are interpolated linearly; what lies outside is the image reflected at
    its border, so that no artificial edge appears.

    Args:
        images: shape `(N, C, H, W)`, any dtype and device. Integers are rounded.
        generator: on the CPU.
    """
    height, width = images.shape[-2:]
    drawn = 2 * torch.rand(len(images), generator=generator, dtype=torch.float64) - 1
    angles = drawn * math.radians(_REACH_DEGREES)
    dtype = images.dtype if images.dtype.is_floating_point else torch.float32
    to_source = torch.zeros(len(images), 2, 3, dtype=torch.float64)
    # Grids run from -1 to 1 in both directions, also where an image is not square.
    to_source[:, 0, 0] = to_source[:, 1, 1] = angles.cos()
    to_source[:, 0, 1] = -angles.sin() * height / width
    to_source[:, 1, 0] = angles.sin() * width / height
    grid = F.affine_grid(to_source, list(images.shape), align_corners=False)
    turned = F.grid_sample(
        images.to(dtype),
        grid.to(images.device, dtype),
        padding_mode="reflection",
        align_corners=False,
    )
    return turned if dtype == images.dtype else turned.round().to(images.dtype)


AUGMENTATIONS: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "crop": crop,
    "flip": flip,
    "rotate": rotate,
}


class Augmentation:
    """Augmentations in a row; what is drawn is a function of the seed, the epoch and the batch.

    Args:
        names: "crop", "flip" and "rotate", applied in the order given to the first input.
        seed: the seed of the run.

    Raises:
        OptionError: a name is unknown; the message names the nearest one.
    """

    def __init__(self, names: Sequence[str], seed: int) -> None:
        if isinstance(names, str):
            names = (names,)
        self.names = tuple(names)
        self._functions = [_named(name) for name in self.names]
        self._seed = seed
        self._generator = torch.Generator()

    def apply(self, images: Tensor, epoch: int, batch: int) -> Tensor:
        """Return the augmented copy of a batch, shape `(N, C, H, W)`.

        Raises:
            DataError: `images` is not a batch of images.
        """
        if images.dim() != 4:
            raise DataError(
                f"augment={self.names} expected images (N, C, H, W), received "
                f"{tuple(images.shape)}. Fix: leave augment out for data that is not images."
            )
        self._generator.manual_seed(mixed_seed(self._seed, "augment", epoch, batch))
        for function in self._functions:
            images = function(images, self._generator)
        return images


def _named(name: str) -> Callable[[Tensor, torch.Generator], Tensor]:
    if name not in AUGMENTATIONS:
        near = get_close_matches(str(name), AUGMENTATIONS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "Fix: choose one of these."
        raise OptionError(
            f"augment expected one of {', '.join(AUGMENTATIONS)}, received {name!r}. {hint}"
        )
    return AUGMENTATIONS[name]


def _shifted(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Positions 0 .. size-1, moved by a random shift for each of `count` samples."""
    reach = size // 8
    shift = torch.randint(-reach, reach + 1, (count, 1), generator=generator)
    return torch.arange(size) + shift


def _reflected(positions: Tensor, size: int) -> Tensor:
    """Fold positions outside 0 .. size-1 back, without repeating the border."""
    last = size - 1
    return last - (last - positions.abs()).abs()


def _pick(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Return `images[n, c, rows[n, i], columns[n, j]]` for all n, c, i, j."""
    count, channels, height, width = images.shape
    places = (rows[:, :, None] * width + columns[:, None, :]).view(count, 1, height * width)
    places = places.to(images.device).expand(count, channels, height * width)
    flat = images.reshape(count, channels, height * width)
    return flat.gather(2, places).view(images.shape)
