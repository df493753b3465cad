"""Where the rows of a data set are: in local parquet files, or at a pinned revision of the hub."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

from layerwright.errors import DataError, MissingExtraError

DATA_DIR_VARIABLE = "LAYERWRIGHT_DATA_DIR"
SPLITS = ("train", "test")
_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class ParquetArchive:
    """A data set in the layout of the Hugging Face hub, in a train and a test split.

    Args:
        name: of the data set, and of its folder in a data directory.
        repository: on the Hugging Face hub.
        revision: the full commit hash there.
        config: the configuration there.
    """

    name: str
    repository: str
    revision: str
    config: str


@dataclass(frozen=True)
class Source:
    """Where the rows of an archive are read from.

    Args:
        identity: names the content: digests of the files, or the hub's revision.
        rows: takes a split and yields value, label, and where they stand; opens nothing before.
    """

    identity: str
    rows: Callable[[str], Iterator[tuple[Any, Any, str]]]


def open_archive(archive: ParquetArchive, data_dir: str | Path | None, column: str) -> Source:
    """Find the rows of an archive; they are read when they are asked for.

    Local files are `<data_dir>/<name>/train.parquet` and `test.parquet` (or the hub's own names,
    `train-00000-of-00001.parquet`). Without a `data_dir`, and without the environment variable
    LAYERWRIGHT_DATA_DIR, the hub is asked.

    Args:
        archive: what is wanted.
        data_dir: where to look, or None.
        column: holds the values; their labels are in the column "label".

    Raises:
        DataError: files are missing; when rows are read, also where they are damaged or the hub
            cannot be reached.
        MissingExtraError: when rows are read, the extra "data" is not installed.
    """
    folder = _local_folder(archive, data_dir)
    if folder is None:
        identity = f"hub {archive.repository} {archive.revision}"
        return Source(identity, lambda split: _hub_rows(archive, split, column))
    files = {split: _local_files(folder, split) for split in SPLITS}
    identity = "files " + " ".join(_digest(path) for found in files.values() for path in found)
    return Source(identity, lambda split: _file_rows(archive, files[split], column))


def _local_folder(archive: ParquetArchive, data_dir: str | Path | None) -> Path | None:
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


def _file_rows(
    archive: ParquetArchive, files: list[Path], column: str
) -> Iterator[tuple[Any, Any, str]]:
    try:
        import pyarrow as pa  # type: ignore[import-untyped]  # noqa: PLC0415 - an optional extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError(f"reading {archive.name}", "pyarrow", "data") from error
    columns = [column, "label"]

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

    for path in files:
        yield from _rows(tables(path), column, str(path))


def _hub_rows(archive: ParquetArchive, split: str, column: str) -> Iterator[tuple[Any, Any, str]]:
    try:
        import datasets  # noqa: PLC0415 - an optional extra
    except ImportError as error:
        raise MissingExtraError(f"fetching {archive.name}", "datasets", "data") from error
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
    if isinstance(loaded.features[column], datasets.Image):
        loaded = loaded.cast_column(column, datasets.Image(decode=False))
    tables = loaded.with_format("arrow").iter(batch_size=_ROWS_AT_ONCE)
    yield from _rows(tables, column, archive.repository)


def _rows(tables: Iterator[Any], column: str, source: str) -> Iterator[tuple[Any, Any, str]]:
    """Yield value, label, and where they stand."""
    number = 0
    for table in tables:
        values = table.column(column).to_pylist()
        labels = table.column("label").to_pylist()
        for value, label in zip(values, labels, strict=True):
            yield value, label, f"row {number} of {source}"
            number += 1
