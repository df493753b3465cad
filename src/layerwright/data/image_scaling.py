"""Square images to another size, whole data sets at a time."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from layerwright.errors import DataError

_CHUNK = 4096  # images scaled at once, so that the float copy stays small


def scale_images(images: Tensor, size: int, *, whole_numbers: bool) -> Tensor:
    """Scale images to `(size, size)`: bilinear, with an antialiasing filter where they shrink.

    Args:
        images: shape `(N, C, H, H)`, any dtype.
        size: the new height and width, in pixels.
        whole_numbers: round to the dtype of `images`; otherwise the result is float32.

    Returns:
        Shape `(N, C, size, size)`.
    """
    dtype = images.dtype if whole_numbers else torch.float32
    scaled = torch.empty((*images.shape[:2], size, size), dtype=dtype)
    for start in range(0, len(images), _CHUNK):
        part = F.interpolate(
            images[start : start + _CHUNK].to(torch.float32),
            size=(size, size),
            mode="bilinear",
            align_corners=False,
            antialias=size < images.shape[-1],
        )
        scaled[start : start + _CHUNK] = part.round_() if whole_numbers else part
    return scaled


def check_square_images(shape: tuple[int, ...] | None, size: int) -> None:
    """Refuse what cannot be scaled.

    Raises:
        DataError: `shape`, of one sample, is not `(C, H, H)`, or `size` is not positive.
    """
    if shape is None or len(shape) != 3 or shape[1] != shape[2] or size < 1:
        raise DataError(
            f"with_image_size expected square images (C, H, H) and a size from 1, received samples "
            f"of shape {shape} and size {size}. Fix: scale the data before it is passed in."
        )


class ScaledImages(Dataset[Any]):
    """A map-style dataset whose first input is scaled to `(size, size)`; the rest is untouched."""

    def __init__(self, dataset: Any, size: int) -> None:
        self.dataset = dataset
        self.size = size

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.dataset)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Return sample `index` with its image, shape `(C, H, H)`, scaled."""
        image, *rest = self.dataset[index]
        image = torch.as_tensor(image)
        scaled = scale_images(image[None], self.size, whole_numbers=image.dtype == torch.uint8)
        return (scaled[0], *rest)
