"""What the verbs have in common at their end: JSON on stdout, progress beside it, exit codes."""

import json
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from layerwright.training.run import Run


def console_for(*, as_json: bool) -> "Console":
    """Return where progress goes: stdout, or stderr when stdout is for JSON."""
    from rich.console import Console

    return Console(stderr=as_json)


def is_first_process() -> bool:
    """Whether this process speaks for all that torchrun has started."""
    return os.environ.get("RANK", "0") == "0"


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON object on one line; NaN and infinity, which JSON lacks, become null."""
    print(json.dumps(_plain(content), allow_nan=False))


def print_values(split: str, values: Mapping[str, Any]) -> None:
    """Print one metric a line as `test accuracy 98.61 %`; a table gets one line a row."""
    from layerwright.training.progress import format_value

    for name, value in values.items():
        if isinstance(value, float):
            print(f"{split} {name} {format_value(name, value)}")
            continue
        plain = _plain(value)
        print(f"{split} {name}{'' if isinstance(plain, list) else f' {plain}'}")
        for row in plain if isinstance(plain, list) else []:
            print("  " + " ".join(f"{cell!s:>6}" for cell in row))


def run_as_json(run: "Run") -> dict[str, Any]:
    """Return what `--json` prints of a run."""
    return {
        "run_dir": run.dir,
        "status": run.status,
        "step": run.step,
        "epochs": run.epoch,
        "history": run.history,
        "best": run.best,
        "test": run.test,
        "started_from": run.started_from,
    }


def exit_code_of(run: "Run") -> int:
    """Return 130 for an interrupted run, as shells do, and 0 for the others."""
    return 130 if run.status == "interrupted" else 0


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):  # tensors and arrays
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
