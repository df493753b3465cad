"""Random crops, flips and rotations of whole batches of images, drawn for each sample."""

import math
from collections.abc import Callable, Sequence
from difflib import get_close_matches

import torch
from torch import Tensor
from torch.nn import functional as F

from layerwright.data.seeding import mixed_seed
from layerwright.data.share import Rows
from layerwright.errors import DataError, OptionError

_REACH_DEGREES = 10.0


def crop(images: Tensor, generator: torch.Generator, rows: Rows | None = None) -> Tensor:
    """Shift each image by up to an eighth of its size, in each direction of its own.

    This equals padding by `p = size // 8` (4 pixels for 32x32, 3 for 28x28) and cropping at a
    random place, with the image reflected at its border, so that no artificial edge appears.

    Args:
        images: shape `(N, C, H, W)`, any dtype and device.
        generator: on the CPU.
        rows: which rows of a larger batch these are, for whose rows it draws; None for all.
    """
    height, width = images.shape[-2:]
    part = rows or Rows(0, len(images), len(images))
    lines = _reflected(_shifted(part, height, generator), height)
    columns = _reflected(_shifted(part, width, generator), width)
    return _pick(images, lines, columns)


def flip(images: Tensor, generator: torch.Generator, rows: Rows | None = None) -> Tensor:
    """Mirror each image left to right with probability one half.

    Args:
        images: shape `(N, C, H, W)`, any dtype and device.
        generator: on the CPU.
        rows: as in `crop`.
    """
    height, width = images.shape[-2:]
    part = rows or Rows(0, len(images), len(images))
    mirrored = torch.rand(part.count, 1, generator=generator)[part.first : part.last] < 0.5
    columns = torch.arange(width)
    columns = torch.where(mirrored, columns.flip(0), columns)
    return _pick(images, torch.arange(height).expand(len(images), height), columns)


def rotate(images: Tensor, generator: torch.Generator, rows: Rows | None = None) -> Tensor:
    """Turn each image around its middle by up to ten degrees, in either direction.

    Values between pixels are interpolated linearly; what lies outside is the image reflected at
    its border, so that no artificial edge appears.

    Args:
        images: shape `(N, C, H, W)`, any dtype and device. Integers are rounded.
        generator: on the CPU.
        rows: as in `crop`.
    """
    height, width = images.shape[-2:]
    part = rows or Rows(0, len(images), len(images))
    drawn = 2 * torch.rand(part.count, generator=generator, dtype=torch.float64) - 1
    angles = drawn[part.first : part.last] * math.radians(_REACH_DEGREES)
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


_Function = Callable[[Tensor, torch.Generator, Rows | None], Tensor]
AUGMENTATIONS: dict[str, _Function] = {
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

    def apply(self, images: Tensor, epoch: int, batch: int, rows: Rows | None = None) -> Tensor:
        """Return the augmented copy of a batch, shape `(N, C, H, W)`.

        Args:
            images: the batch, or some of its rows.
            epoch: from 0.
            batch: its number in the epoch, from 0.
            rows: which rows of the batch `images` are; they are moved as in the whole batch. None
                for all.

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
            images = function(images, self._generator, rows)
        return images


def _named(name: str) -> _Function:
    if name not in AUGMENTATIONS:
        near = get_close_matches(str(name), AUGMENTATIONS, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else "Fix: choose one of these."
        raise OptionError(
            f"augment expected one of {', '.join(AUGMENTATIONS)}, received {name!r}. {hint}"
        )
    return AUGMENTATIONS[name]


def _shifted(part: Rows, size: int, generator: torch.Generator) -> Tensor:
    """Positions 0 .. size-1, moved by a random shift for each sample of a part of a batch."""
    reach = size // 8
    shift = torch.randint(-reach, reach + 1, (part.count, 1), generator=generator)
    return torch.arange(size) + shift[part.first : part.last]


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
