"""Files that a network is to predict, as its inputs: images, saved arrays and texts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from layerwright.data.from_texts import read_text
from layerwright.data.normalization import Normalization
from layerwright.errors import DataError, MissingExtraError, ShapeError


def read_file(path: Path, facts: Mapping[str, Any]) -> Tensor:
    """Read one file as samples that are ready for the network.

    An image is converted to the channels and size of the training data. A `.npy` or `.npz` array
    holds one sample or several.

    Args:
        path: the file.
        facts: what the run knows of its data: input_shape, normalization.

    Returns:
        Normalised samples, `(n, *input_shape)`.

    Raises:
        DataError: the file is missing or cannot be read.
        ShapeError: the array's shape is not the network's.
    """
    if not path.is_file():
        raise DataError(f"predict expected a file, and {path} is none. Fix: check the path.")
    shape = facts.get("input_shape")
    if path.suffix in {".npy", ".npz"}:
        return normalised(_array(path, shape), facts)
    return normalised(_image(path, shape), facts, scale=255.0)


def normalised(values: Tensor, facts: Mapping[str, Any], scale: float | None = None) -> Tensor:
    """Normalise raw integer pixels as in training; leave floating-point values as they are.

    Args:
        values: `(n, ...)`.
        facts: what the run knows of its data.
        scale: the raw value that means full intensity; None takes the training data's own.
    """
    recorded = facts.get("normalization")
    if values.dtype != torch.uint8:
        return values.float() if values.is_floating_point() else values
    if recorded is None:
        return values.float()
    rule = Normalization.from_dict(recorded)
    return rule.apply(values.float() * (rule.scale / scale) if scale else values)


def read_texts(texts: Sequence[str | Path]) -> list[str]:
    """Return texts as they are (str), or as files hold them (Path).

    Raises:
        DataError: a file is missing or cannot be read.
    """
    for item in texts:
        if isinstance(item, Path) and not item.is_file():
            raise DataError(f"predict expected a file, and {item} is none. Fix: check the path.")
    return [read_text(item) if isinstance(item, Path) else item for item in texts]


def _array(path: Path, shape: list[int] | None) -> Tensor:
    try:
        loaded = np.load(path, allow_pickle=False)
        array = loaded[loaded.files[0]] if path.suffix == ".npz" else loaded
        values = torch.as_tensor(np.ascontiguousarray(array))
    except (OSError, ValueError, IndexError, TypeError, EOFError) as error:
        raise DataError(f"{path} expected an array of numbers, and cannot be read.") from error
    if shape is None or list(values.shape[1:]) == list(shape):
        return values
    if list(values.shape) == list(shape):
        return values[None]
    raise ShapeError(
        f"{path} expected samples of shape {tuple(shape)}, received an array of shape "
        f"{tuple(values.shape)}."
    )


def _image(path: Path, shape: list[int] | None) -> Tensor:
    try:
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(f"reading the image {path}", "pillow", "data") from error
    if shape is None or len(shape) != 3:
        raise ShapeError(
            f"{path} is an image, and the network expected samples of shape {shape}. "
            "Fix: give an array file (.npy)."
        )
    channels, height, width = shape
    modes = {1: "L", 3: "RGB", 4: "RGBA"}
    if channels not in modes:
        raise ShapeError(f"{path} is an image, and the network expected {channels} channels.")
    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert(modes[channels]).resize((width, height)))
    except (OSError, UnidentifiedImageError, ValueError) as error:
        raise DataError(f"{path} expected an image or a .npy file, and cannot be read.") from error
    return torch.from_numpy(pixels).reshape(height, width, channels).permute(2, 0, 1)[None]
