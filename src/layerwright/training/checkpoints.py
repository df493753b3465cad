"""Checkpoints on disk: written aside, synced, renamed, hashed, and loaded without running code.

A checkpoint is a folder `step-00000120`:

    network.safetensors   parameters and buffers at that step
    best.safetensors      the weights that were best on validation, where there is one
    shard-*.safetensors   both, and the optimizer's tensors, where each process wrote its part
    training.pt           optimizer, random state, position (a `weights_only` file: no code)
    manifest.json         the SHA-256 of each file, written last

A folder without an intact manifest is not a checkpoint.
"""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from layerwright.errors import CheckpointError

FORMAT = 1
KEPT = 2  # the newest, and the one before in case that the newest is damaged later


class Checkpoints:
    """The checkpoints of one run folder.

    Args:
        folder: the folder that holds them; created at the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.problems: list[str] = []  # one line for each checkpoint that could not be used

    def begin(self, step: int) -> Path:
        """Make the folder in which a checkpoint is written before it gets its name.

        Raises:
            CheckpointError: it cannot be made.
        """
        aside = self.folder / f".writing-{step:08d}-{os.getpid()}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(".writing-*"):  # of a process that was killed
                shutil.rmtree(leftover, ignore_errors=True)
            aside.mkdir()
        except OSError as error:
            raise self.not_written(step, error) from error
        return aside

    def not_written(self, step: int, error: BaseException) -> CheckpointError:
        """Word the error of a checkpoint that could not be written."""
        newest = self.steps()
        kept = f"The checkpoint of step {newest[-1]} is intact. " if newest else ""
        return CheckpointError(
            f"the checkpoint of step {step} could not be written to {self.folder}: {error}. "
            f"{kept}Fix: free disk space or mend the folder, then resume the run."
        )

    def save(self, state: Mapping[str, Any], aside: Path | None = None) -> Path:
        """Write `state` (keys network, best, training with its "step") and drop old checkpoints.

        Args:
            state: of it, `network` and `best` are left out where `aside` holds their shards.
            aside: what `begin` returned, where it holds files already; None begins here.

        Raises:
            CheckpointError: the disk is full or cannot be written; older checkpoints are intact.
        """
        step = int(state["training"]["step"])
        final = self.folder / f"step-{step:08d}"
        if aside is None:
            aside = self.begin(step)
        try:
            _write_files(aside, state)
            if final.exists():  # the same step again, after a resume: the same bits
                shutil.rmtree(final)
            aside.rename(final)
            _sync_folder(self.folder)
        except (OSError, SafetensorError, RuntimeError) as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise self.not_written(step, error) from error
        for old in self.steps()[:-KEPT]:
            shutil.rmtree(self.folder / f"step-{old:08d}", ignore_errors=True)
        return final

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, oldest first."""
        names = (path.name.removeprefix("step-") for path in self.folder.glob("step-*"))
        return sorted(int(name) for name in names if name.isdigit())

    def newest_intact(self) -> dict[str, Any]:
        """Load the newest checkpoint whose hashes agree; `problems` names the ones passed over.

        Raises:
            CheckpointError: there is none.
        """
        self.problems = []
        for step in reversed(self.steps()):
            folder = self.folder / f"step-{step:08d}"
            try:
                return load(folder)
            except CheckpointError as error:
                self.problems.append(str(error))
        detail = " ".join(self.problems) or "It holds none."
        raise CheckpointError(f"{self.folder} expected an intact checkpoint. {detail}")


def load(folder: Path) -> dict[str, Any]:
    """Verify and load one checkpoint folder.

    Raises:
        CheckpointError: a file is missing, truncated, altered, or holds code.
    """
    manifest = _read_manifest(folder)
    for name, expected in manifest["sha256"].items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            raise CheckpointError(f"{folder} is damaged: {name} is missing.")
        if _sha256(path) != expected:
            raise CheckpointError(f"{folder} is damaged: {name} is truncated or was altered.")
    try:
        training = torch.load(folder / "training.pt", weights_only=True, map_location="cpu")
        if "shards" in training:
            return _whole(folder, training)
        network = _read_tensors(folder / "network.safetensors", manifest["aliases"])
        best = None
        if "best.safetensors" in manifest["sha256"]:
            best = _read_tensors(folder / "best.safetensors", manifest["aliases"])
    except UnpicklingError as error:
        raise CheckpointError(
            f"{folder} is refused: training.pt holds more than tensors and plain values, "
            "and loading it could run code."
        ) from error
    except (
        SafetensorError,
        RuntimeError,
        KeyError,
        EOFError,
        OSError,
        zipfile.BadZipFile,
    ) as error:
        raise CheckpointError(f"{folder} is damaged: {error}") from error
    extra = training.pop("extra_state")
    network.update(extra)
    if best is not None:
        best.update(training.pop("best_extra_state"))
    return {"network": network, "best": best, "training": training}


def _whole(folder: Path, training: dict[str, Any]) -> dict[str, Any]:
    """Put the parts of several processes together."""
    from layerwright.training.distributed.shards import read_shards  # noqa: PLC0415 - heavy

    return read_shards(folder, training)


def _write_files(folder: Path, state: Mapping[str, Any]) -> None:
    training = dict(state["training"])
    aliases: dict[str, str] = {}
    if "network" in state:
        aliases, extra = _write_tensors(folder / "network.safetensors", state["network"])
        training["extra_state"] = extra
    if state.get("best") is not None:
        _, training["best_extra_state"] = _write_tensors(folder / "best.safetensors", state["best"])
    torch.save(training, folder / "training.pt")
    written = sorted(folder.iterdir())
    for path in written:
        _sync_file(path)
    manifest = {
        "format": FORMAT,
        "step": int(state["training"]["step"]),
        "torch": torch.__version__,
        "aliases": aliases,
        "sha256": {path.name: _sha256(path) for path in written},
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps({**manifest, "self": _digest(manifest)}, indent=1))
    _sync_file(path)
    _sync_folder(folder)


def _write_tensors(path: Path, state: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
    """Write the tensors of `state`; return which names are tied, and what is not a tensor."""
    first_name: dict[int, str] = {}
    aliases: dict[str, str] = {}
    tensors: dict[str, Tensor] = {}
    extra: dict[str, Any] = {}
    for name, value in state.items():
        if not isinstance(value, Tensor):
            extra[name] = value
        elif id(value) in first_name:
            aliases[name] = first_name[id(value)]
        else:
            first_name[id(value)] = name
            tensors[name] = value.detach().cpu().contiguous()
    save_file(tensors, path)
    return aliases, extra


def _read_tensors(path: Path, aliases: Mapping[str, str]) -> dict[str, Any]:
    tensors: dict[str, Any] = load_file(path)
    return {**tensors, **{name: tensors[first] for name, first in aliases.items()}}


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text())
        expected = manifest.pop("self")
        intact = expected == _digest(manifest)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{folder} is damaged: manifest.json cannot be read.") from error
    if not intact:
        raise CheckpointError(f"{folder} is damaged: manifest.json was altered.")
    if manifest["format"] != FORMAT:
        raise CheckpointError(
            f"{folder} expected checkpoint format {FORMAT}, received {manifest['format']}. "
            "Fix: use the version of layerwright that wrote it."
        )
    return dict(manifest)


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    if os.name != "posix":  # Windows cannot open a folder
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
