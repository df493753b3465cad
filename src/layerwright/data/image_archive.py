"""Image data sets in the layout of the Hugging Face hub: parquet files of encoded images."""

from collections.abc import Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from layerwright.data.cache import cached_tensors
from layerwright.data.normalization import Normalization
from layerwright.data.parquet_archive import SPLITS, ParquetArchive, Source, open_archive
from layerwright.data.splits import Data, TensorSplit
from layerwright.errors import DataError, MissingExtraError


@dataclass(frozen=True)
class ImageArchive(ParquetArchive):
    """A data set of small images, all of one shape, in a train and a test split.

    Args:
        name: of the data set, and of its folder in a data directory.
        repository: on the Hugging Face hub.
        revision: the full commit hash there.
        config: the configuration there.
        image_column: holds `{"bytes": the encoded image, "path": ...}`.
        shape: `(C, H, W)` of each image.
        class_names: one for each value of the column "label".
        normalization: mean and standard deviation of each channel over the training split.
    """

    image_column: str
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    normalization: Normalization


def load_archive(archive: ImageArchive, data_dir: str | Path | None) -> Data:
    """Load a data set: decoded once, afterwards from the cache.

    `open_archive` says where it looks.

    Raises:
        DataError: files are missing or damaged, or the hub cannot be reached.
        MissingExtraError: the extra "data" is not installed.
    """
    source = open_archive(archive, data_dir, archive.image_column)
    cached = cached_tensors(archive.name, source.identity, lambda: _decode(archive, source))
    train, test = (
        TensorSplit(
            (cached.tensors[f"{split}_images"],),
            cached.tensors[f"{split}_labels"],
            archive.normalization,
        )
        for split in SPLITS
    )
    return Data(
        archive.name,
        "classification",
        train,
        test=test,
        input_shape=archive.shape,
        num_classes=len(archive.class_names),
        class_names=archive.class_names,
        target_shape=(),
        notes=cached.notes,
    )


def _decode(archive: ImageArchive, source: Source) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    for split in SPLITS:
        tensors.update(_decode_split(archive, split, source.rows(split)))
    return tensors


def _decode_split(
    archive: ImageArchive, split: str, rows: Iterable[tuple[Any, Any, str]]
) -> dict[str, Tensor]:
    try:
        from PIL import Image  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise MissingExtraError(f"reading {archive.name}", "pillow", "data") from error
    channels, height, width = archive.shape
    mode = "L" if channels == 1 else "RGB"
    images: list[Any] = []
    labels: list[int] = []
    for image, label, place in rows:
        encoded = image.get("bytes") if isinstance(image, dict) else None
        try:
            with Image.open(BytesIO(encoded or b"")) as opened:
                pixels = np.asarray(opened.convert(mode))
        except (OSError, SyntaxError, ValueError) as error:
            raise DataError(
                f"{place} expected an encoded image, received damaged content ({error}). "
                "Fix: fetch the file again."
            ) from error
        if pixels.shape[:2] != (height, width) or label not in range(len(archive.class_names)):
            raise DataError(
                f"{place} expected {height}x{width} pixels and a label below "
                f"{len(archive.class_names)}, received {pixels.shape[0]}x{pixels.shape[1]} and "
                f"{label}. Fix: use the files of {archive.name}."
            )
        images.append(pixels)
        labels.append(label)
    if not images:
        raise DataError(
            f"the {split} split of {archive.name} expected images, received none. "
            "Fix: fetch the file again."
        )
    stacked = torch.from_numpy(np.stack(images))
    stacked = stacked[:, None] if channels == 1 else stacked.permute(0, 3, 1, 2).contiguous()
    return {f"{split}_images": stacked, f"{split}_labels": torch.tensor(labels)}
