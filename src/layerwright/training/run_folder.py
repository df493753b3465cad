"""A run's folder: what was asked for, on what machine, what came out. Never overwritten.

    config.json        the resolved recipe and what is needed to read the network's answers
    environment.json   versions and hardware
    vocabulary.safetensors   what tokens mean, where the run learned from texts
    metrics.jsonl      one row an epoch, and one for the test split; the same bits after a resume
    timing.jsonl       seconds of each epoch, apart because no two runs agree on them
    watch.jsonl        where asked for: what passed each layer at some steps, see training.run_watch
    watch.png          the same as a heat map
    checkpoints/       see layerwright.training.checkpoints
    logs/              what each of several processes said, rank-0.log and so on
    run.lock           held by the process that trains into the folder

Everything in it is data: no file of a run folder is ever imported or executed.
"""

import json
import math
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from layerwright import __version__
from layerwright.data.vocabulary import Vocabulary
from layerwright.data.vocabulary_file import save_vocabulary
from layerwright.errors import CheckpointError, RunFolderError
from layerwright.training.checkpoints import Checkpoints

FORMAT = 1


class RunFolder:
    """One run's folder, locked while this object is open.

    Args:
        path: the folder; `create` makes it, `open` finds it.

    Raises:
        RunFolderError: another process trains into the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = Checkpoints(path / "checkpoints")
        self._lock = FileLock(path / "run.lock")
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise RunFolderError(
                f"the run folder {path} is in use by another process. "
                "Fix: wait for it, or train into another folder with --run-dir."
            ) from error
        except OSError as error:
            raise RunFolderError(f"the run folder {path} cannot be written: {error}.") from error

    @classmethod
    def create(
        cls, path: Path, config: Mapping[str, Any], vocabulary: Vocabulary | None = None
    ) -> "RunFolder":
        """Make a new folder with its config and environment, and for texts their vocabulary.

        Raises:
            RunFolderError: the folder holds something already, or cannot be made.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunFolderError(f"the run folder {path} cannot be made: {error}.") from error
        folder = cls(path)
        if any(entry.name != "run.lock" for entry in path.iterdir()):
            folder.close()
            raise RunFolderError(
                f"the run folder {path} expected nothing in it, and is not empty. "
                f"Fix: choose another --run-dir, or continue with: layerwright resume {path}"
            )
        try:
            _write_json(path / "environment.json", environment())
            if vocabulary is not None:
                save_vocabulary(vocabulary, path)
            _write_json(path / "config.json", {"format": FORMAT, **config})
        except OSError as error:
            folder.close()
            raise RunFolderError(f"the run folder {path} cannot be written: {error}.") from error
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Lock an existing run's folder.

        Raises:
            RunFolderError: there is no run in it, or another process trains into it.
        """
        read_config(path)
        return cls(path)

    def write_rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Replace a .jsonl file: after a resume, rows beyond the checkpoint must go.

        Raises:
            CheckpointError: it cannot be written.
        """
        path = self.path / name
        aside = path.with_suffix(".jsonl.tmp")
        with writable():
            aside.write_text("".join(_line(row) for row in rows))
            aside.replace(path)

    def append_row(self, name: str, row: Mapping[str, Any]) -> None:
        """Append one row to a .jsonl file.

        Raises:
            CheckpointError: it cannot be written.
        """
        with writable(), (self.path / name).open("a") as file:
            file.write(_line(row))

    def read_rows(self, name: str) -> list[dict[str, Any]]:
        """Read a .jsonl file as far as it is intact: a kill may have cut its last line."""
        rows: list[dict[str, Any]] = []
        with suppress(OSError, ValueError):  # what came before the damage has been added
            rows.extend(map(json.loads, (self.path / name).read_text().splitlines()))
        return rows

    def close(self) -> None:
        """Let other processes have the folder."""
        self._lock.release()


@contextmanager
def writable() -> Iterator[None]:
    """Word what goes wrong when a row is written.

    Raises:
        CheckpointError: the disk is full, and the like.
    """
    try:
        yield
    except OSError as error:
        raise CheckpointError(
            f"a row could not be written to the run folder: {error}. "
            "Fix: free disk space, then resume the run."
        ) from error


def read_config(path: Path) -> dict[str, Any]:
    """Read a run's config.json.

    Raises:
        RunFolderError: `path` is no run folder, or one of another version.
    """
    file = Path(path) / "config.json"
    if not file.is_file():
        raise RunFolderError(
            f"{path} expected a run folder, and has no config.json. "
            "Fix: name a folder that `layerwright train` wrote."
        )
    try:
        config = json.loads(file.read_text())
        found = config["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunFolderError(f"{file} expected a run's config, and cannot be read.") from error
    if found != FORMAT:
        raise RunFolderError(
            f"{file} expected format {FORMAT}, received {found}. "
            "Fix: use the version of layerwright that wrote it."
        )
    return dict(config)


def next_run_dir(root: Path, name: str) -> Path:
    """Make and return the first free folder `root/name-<n>`; safe when processes race.

    Raises:
        RunFolderError: the folder cannot be made.
    """
    number = 1
    try:
        root.mkdir(parents=True, exist_ok=True)
        while True:
            path = root / f"{name}-{number}"
            try:
                path.mkdir()
            except FileExistsError:
                number += 1
            else:
                return path
    except OSError as error:
        raise RunFolderError(f"no run folder can be made in {root}: {error}.") from error


def environment() -> dict[str, Any]:
    """What the run's bits depend on beside the recipe."""
    return {
        "layerwright": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "cuda": [
            torch.cuda.get_device_name(index)
            for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
        ],
    }


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(_strict(row), allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    """JSON has neither NaN nor infinity: a metric that has no value becomes null."""
    if isinstance(value, Mapping):
        return {key: _strict(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    aside = path.with_suffix(".json.tmp")
    aside.write_text(json.dumps(content, indent=1) + "\n")
    aside.replace(path)
