"""`layerwright env`: versions and hardware, for bug reports."""

import os
import platform
import re
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from layerwright import __version__
from layerwright.cli.output import print_json


def env(*, as_json: Annotated[bool, Parameter(name="--json", negative=())] = False) -> int:
    """Print versions, hardware and folders, for bug reports.

    Args:
        as_json: print one JSON object.
    """
    facts = environment()
    if as_json:
        print_json(facts)
        return 0
    rows: dict[str, Any] = {}
    for group, values in facts.items():
        if isinstance(values, dict):
            rows |= {f"{group} {name}": value for name, value in values.items()}
        else:
            rows[group] = values
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:<{width}}  {_readable(value)}")
    return 0


def environment() -> dict[str, Any]:
    """Return what `layerwright env --json` prints; None is what could not be found out."""
    return {
        "layerwright": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        **_packages(),
        "cpu": {"model": _cpu_model(), "count": os.cpu_count()},
        **_torch(),
        **_folders(),
    }


def _packages() -> dict[str, Any]:
    """Return the versions of the core's packages, and of those of each extra."""
    groups: dict[str, dict[str, str | None]] = {"core": {}}
    try:
        lines = requires("layerwright") or []
    except PackageNotFoundError:  # run from a source tree without installation
        lines = []
    for line in lines:
        name = re.match(r"[\w.-]+", line)
        extra = re.search(r"extra\s*==\s*['\"](\w+)['\"]", line)
        group = f"extra {extra[1]}" if extra else "core"
        if name is not None and group not in {"extra dev", "extra all"}:
            groups.setdefault(group, {})[name[0]] = _version(name[0])
    return groups


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or None
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else platform.processor() or None


def _torch() -> dict[str, Any]:
    """Ask torch for its devices; a torch that cannot be imported is what such a report is for."""
    try:
        import torch
    except (ImportError, OSError) as error:
        return {"torch": {"import": f"{type(error).__name__}: {error}"}}
    cuda = torch.cuda.is_available()
    devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    return {
        "torch": {
            "threads": torch.get_num_threads(),
            "cuda": torch.version.cuda,
            "cuda devices": [
                f"{device.name}, {device.total_memory / 2**30:.1f} GiB" for device in devices
            ]
            if cuda
            else [],
            "mps": torch.backends.mps.is_available(),
        }
    }


def _folders() -> dict[str, Any]:
    folders: dict[str, Any] = {"data dir": os.environ.get("LAYERWRIGHT_DATA_DIR"), "cache": None}
    with suppress(ImportError, OSError):  # as for torch, which it imports
        from layerwright.data.cache import cache_folder

        folders["cache"] = str(cache_folder())
    return {"folders": folders}


def _readable(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
