"""Image data sets in the layout of the Hugging Face hub: parquet files of encoded images."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import file_digest
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from layerwright.data.cache import cached_tensors
from layerwright.data.normalization import Normalization
from layerwright.data.splits import Data, TensorSplit
from layerwright.errors import DataError, MissingExtraError

DATA_DIR_VARIABLE = "LAYERWRIGHT_DATA_DIR"
_SPLITS = ("train", "test")
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class ImageArchive:
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

    name: str
    repository: str
    revision: str
    config: str
    image_column: str
    shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    normalization: Normalization


def load_archive(archive: ImageArchive, data_dir: str | Path | None) -> Data:
    """Load a data set: decoded once, afterwards from the cache.

    Local files are `<data_dir>/<name>/train.parquet` and `test.parquet` (or the hub's own names,
    `train-00000-of-00001.parquet`). Without a `data_dir`, and without the environment variable
    LAYERWRIGHT_DATA_DIR, the hub is asked.

    Raises:
        DataError: files are missing or damaged, or the hub cannot be reached.
        MissingExtraError: the extra "data" is not installed.
    """
    folder = _local_folder(archive, data_dir)
    if folder is None:
        source = f"hub {archive.repository} {archive.revision}"
        cached = cached_tensors(archive.name, source, lambda: _decode_hub(archive))
    else:
        files = {split: _local_files(folder, split) for split in _SPLITS}
        source = "files " + " ".join(_digest(path) for found in files.values() for path in found)
        cached = cached_tensors(archive.name, source, lambda: _decode_files(archive, files))
    train, test = (
        TensorSplit(
            (cached.tensors[f"{split}_images"],),
            cached.tensors[f"{split}_labels"],
            archive.normalization,
        )
        for split in _SPLITS
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


def _local_folder(archive: ImageArchive, data_dir: str | Path | None) -> Path | None:
    root = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if not root:
        return None
    folder = Path(root).expanduser() / archive.name
    if not folder.is_dir():
        origin = "data_dir" if data_dir else DATA_DIR_VARIABLE
        raise DataError(
            f"{archive.name} expected a folder {folder} with train.parquet and test.parquet, "
            f"received {origin}={str(root)!r} without it. "
            f"Fix: point {origin} at the folder that holds {archive.name}/."
        )
    return folder


def _local_files(folder: Path, split: str) -> list[Path]:
    single = folder / f"{split}.parquet"
    files = [single] if single.is_file() else sorted(folder.glob(f"{split}-*-of-*.parquet"))
    if not files:
        present = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise DataError(
            f"{folder} expected a file {split}.parquet or {split}-00000-of-00001.parquet, "
            f"received a folder with {present}. Fix: put the file there."
        )
    return files


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _decode_files(archive: ImageArchive, files: dict[str, list[Path]]) -> dict[str, Tensor]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - an optional extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(f"reading {archive.name}", "pyarrow", "data") from error
    columns = [archive.image_column, "label"]

    def tables(path: Path) -> Iterator[Any]:
        try:
            with parquet.ParquetFile(path) as opened:
                missing = [name for name in columns if name not in opened.schema_arrow.names]
                if missing:
                    raise DataError(
                        f"{path} expected the columns {' and '.join(columns)}, received "
                        f"{', '.join(opened.schema_arrow.names)}. Fix: use the hub's layout."
                    )
                yield from opened.iter_batches(_ROWS_AT_ONCE, columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{path} expected a parquet file, received damaged content "
                f"({str(error).splitlines()[0]}). Fix: fetch the file again."
            ) from error

    tensors: dict[str, Tensor] = {}
    for split, paths in files.items():
        rows = (row for path in paths for row in _rows(archive, tables(path), str(path)))
        tensors.update(_decode(archive, split, rows))
    return tensors


def _decode_hub(archive: ImageArchive) -> dict[str, Tensor]:
    try:
        import datasets  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise MissingExtraError(f"fetching {archive.name}", "datasets", "data") from error
    tensors: dict[str, Tensor] = {}
    for split in _SPLITS:
        try:
            loaded = datasets.load_dataset(
                archive.repository, archive.config, revision=archive.revision, split=split
            )
        except Exception as error:  # network, hub and disk raise many kinds
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                f"{archive.name} expected to be fetched from the hub ({archive.repository} at "
                f"{archive.revision[:8]}), received {type(error).__name__}: {first} Fix: connect "
                f"to the network, or point data_dir or {DATA_DIR_VARIABLE} at local files."
            ) from error
        raw = loaded.cast_column(archive.image_column, datasets.Image(decode=False))
        tables = raw.with_format("arrow").iter(batch_size=_ROWS_AT_ONCE)
        tensors.update(_decode(archive, split, _rows(archive, tables, archive.repository)))
    return tensors


def _rows(
    archive: ImageArchive, tables: Iterable[Any], source: str
) -> Iterator[tuple[Any, Any, str]]:
    """Yield encoded image, label, and where they stand."""
    number = 0
    for table in tables:
        images = table.column(archive.image_column).to_pylist()
        labels = table.column("label").to_pylist()
        for image, label in zip(images, labels, strict=True):
            yield image, label, f"row {number} of {source}"
            number += 1


def _decode(
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
