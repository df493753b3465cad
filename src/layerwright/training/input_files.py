"""Files that a network is to predict, as its inputs: images, saved arrays and texts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from layerwright.data.input_arrays import check_is_file, read_array, read_pixels, read_text
from layerwright.data.normalization import Normalization


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
    check_is_file(path)
    shape = facts.get("input_shape")
    if path.suffix in {".npy", ".npz"}:
        return normalised(torch.as_tensor(read_array(path, shape)), facts)
    return normalised(torch.from_numpy(read_pixels(path, shape)), facts, scale=255.0)


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
        if isinstance(item, Path):
            check_is_file(item)
    return [read_text(item) if isinstance(item, Path) else item for item in texts]
