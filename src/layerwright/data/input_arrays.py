"""Files that a network is to predict, as arrays and texts; torch is not needed to read them."""

from pathlib import Path
from typing import IO, Any

import numpy as np

from layerwright.errors import DataError, MissingExtraError, ShapeError

Array = np.ndarray[Any, Any]
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}  # of pillow, by the number of channels


def read_array(path: Path, shape: list[int] | None) -> Array:
    """Read a `.npy` file, or the first array of a `.npz` file.

    Args:
        path: the file.
        shape: of one sample; None where nothing is known of it.

    Returns:
        Samples, `(n, *shape)`: an array of one sample gets a dim for the batch.

    Raises:
        DataError: the file cannot be read, or would run code.
        ShapeError: the array's shape is not the network's.
    """
    problem = f"{path} expected an array of numbers, and cannot be read."
    try:
        loaded = np.load(path, allow_pickle=False)
        array = loaded[loaded.files[0]] if path.suffix == ".npz" else loaded
    except (OSError, ValueError, IndexError, TypeError, EOFError) as error:
        raise DataError(problem) from error
    if array.dtype.kind not in "biufc" or array.dtype.name in {"float128", "complex256"}:
        raise DataError(problem)
    array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    if shape is None or list(array.shape[1:]) == list(shape):
        return array
    if list(array.shape) == list(shape):
        return array[None]
    raise ShapeError(
        f"{path} expected samples of shape {tuple(shape)}, received an array of shape "
        f"{array.shape}."
    )


def read_pixels(path: Path | IO[bytes], shape: list[int] | None) -> Array:
    """Read an image, converted to a number of channels and scaled to a size.

    Args:
        path: the file, or its content as a stream.
        shape: channels, height and width of one sample.

    Returns:
        uint8, `(1, C, H, W)`.

    Raises:
        DataError: the file cannot be read.
        ShapeError: the network takes no images.
        MissingExtraError: pillow is not installed.
    """
    try:
        from PIL import Image, UnidentifiedImageError  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError(f"reading the image {path}", "pillow", "data") from error
    if shape is None or len(shape) != 3:
        raise ShapeError(
            f"{path} is an image, and the network expected samples of shape {shape}. "
            "Fix: give an array file (.npy)."
        )
    damaged = (UnidentifiedImageError, Image.DecompressionBombError)
    channels, height, width = shape
    if channels not in _MODES:
        raise ShapeError(f"{path} is an image, and the network expected {channels} channels.")
    try:
        with Image.open(path) as image:
            pixels = np.array(image.convert(_MODES[channels]).resize((width, height)))
    except (OSError, SyntaxError, ValueError, *damaged) as error:
        raise DataError(f"{path} expected an image or a .npy file, and cannot be read.") from error
    return pixels.reshape(height, width, channels).transpose(2, 0, 1)[None]


def read_text(path: Path) -> str:
    """Read a file of UTF-8.

    Raises:
        DataError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} expected a text in UTF-8, and cannot be read: {error}. "
            "Fix: convert the file, or remove it."
        ) from error


def check_is_file(path: Path) -> None:
    """Refuse a path that leads to no file.

    Raises:
        DataError: there is none.
    """
    if not path.is_file():
        raise DataError(f"predict expected a file, and {path} is none. Fix: check the path.")
