"""What a run's folder says, read as far as it is intact and without touching it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerwright.errors import CheckpointError, RunFolderError
from layerwright.training.checkpoints import Checkpoints
from layerwright.training.run_folder import read_config

_PARTS: Mapping[str, tuple[str, ...]] = {  # of config.json, with what everybody reads there
    "recipe": ("network", "network_options", "data", "validation", "limit", "epochs", "seed"),
    "resolved": (),
    "data": ("name", "task", "input_shape", "num_outputs"),
}


@dataclass(frozen=True)
class RunRecord:
    """A run, as its folder tells it.

    Attributes:
        path: the folder.
        config: what config.json holds: recipe, resolved, data and more.
        environment: versions and hardware; empty where they cannot be read.
        history: one row an epoch, as in metrics.jsonl.
        test: values on the test split; None where they are not recorded.
        seconds: of each epoch, by its number.
        status: in words.
        finished: whether the run came to its end.
        best: the row that was best on validation; None where it is not known.
        problems: what could not be read, one sentence each.
    """

    path: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    history: tuple[dict[str, Any], ...]
    test: dict[str, Any] | None
    seconds: dict[int, float]
    status: str
    finished: bool
    best: dict[str, Any] | None
    problems: tuple[str, ...]


def read_run(path: Path) -> RunRecord:
    """Read a run's folder; what is damaged beside config.json is named in `problems`.

    Raises:
        RunFolderError: `path` is no run folder, or its config.json is damaged.
    """
    config = read_config(path)
    for part, names in _PARTS.items():
        found = config.get(part)
        if not isinstance(found, Mapping) or any(name not in found for name in names):
            raise RunFolderError(
                f"{path / 'config.json'} expected a run's config, and its part {part!r} is not "
                "whole. Fix: take it from a copy of the run, or train anew."
            )
    problems: list[str] = []
    rows = read_rows(path / "metrics.jsonl", problems)
    history = tuple(row for row in rows if isinstance(row.get("epoch"), int))
    tests = [row["test"] for row in rows if isinstance(row.get("test"), dict)]
    timing = read_rows(path / "timing.jsonl", problems)
    training = _last_position(path, problems)
    status, finished = _status(config, history, training, tested=bool(tests))
    return RunRecord(
        path=path,
        config=config,
        environment=_environment(path, problems),
        history=history,
        test=tests[-1] if tests else None,
        seconds={
            row["epoch"]: float(row["seconds"])
            for row in timing
            if isinstance(row.get("epoch"), int) and isinstance(row.get("seconds"), int | float)
        },
        status=status,
        finished=finished,
        best=training.get("best") if training else None,
        problems=tuple(problems),
    )


def read_rows(file: Path, problems: list[str]) -> list[dict[str, Any]]:
    """Read a .jsonl file up to the first line that is none; a kill may have cut the last one.

    Args:
        file: one JSON object a line.
        problems: one sentence is added where something cannot be read.
    """
    rows: list[dict[str, Any]] = []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        problems.append(f"{file.name} is missing, or cannot be read.")
        return rows
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            problems.append(f"{file.name} is damaged from line {number} on; {len(rows)} are used.")
            break
        rows.append(row)
    return rows


def _environment(path: Path, problems: list[str]) -> dict[str, Any]:
    try:
        found = json.loads((path / "environment.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        problems.append("environment.json is missing, or cannot be read.")
        return {}
    return found


def _last_position(path: Path, problems: list[str]) -> dict[str, Any] | None:
    """Return what the newest intact checkpoint says of the training itself."""
    checkpoints = Checkpoints(path / "checkpoints")
    try:
        training: dict[str, Any] = checkpoints.newest_intact()["training"]
    except CheckpointError as error:
        problems.append(str(error))
        return None
    problems.extend(checkpoints.problems)
    return training


def _status(
    config: Mapping[str, Any],
    history: tuple[dict[str, Any], ...],
    training: Mapping[str, Any] | None,
    *,
    tested: bool,
) -> tuple[str, bool]:
    asked = config["recipe"].get("epochs")
    done = len(history)
    epochs = f"{done} epoch{'' if done == 1 else 's'}"
    if tested or (training is not None and training.get("done")):
        early = isinstance(asked, int) and done < asked
        return f"{'stopped early' if early else 'finished'} after {epochs}", True
    step = f", newest checkpoint at step {training['step']}" if training else ""
    return f"not finished: {done} of {asked} epochs{step}", False
