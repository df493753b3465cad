"""Which project a new layer belongs to, and where its code lies."""

import importlib.util
import keyword
import os
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from layerwright.errors import OptionError

_MARKS = ("pyproject.toml", "setup.cfg", "setup.py")  # the folder that has one is a project
_NO_PACKAGES = {"tests", "test", "docs", "examples", "benchmarks", "scripts", "layers"}


@dataclass(frozen=True)
class Project:
    """A user's project.

    Attributes:
        root: its folder.
        source: what is on the import path: the folder itself, or its src.
        package: the folder that `layers` goes to: below `source`, or `source` itself.
    """

    root: Path
    source: Path
    package: Path

    def import_name(self, file: Path) -> str:
        """Return what a file below the package is imported as."""
        return ".".join(file.relative_to(self.source).with_suffix("").parts)


def find_project(current: Path, package: Path | None = None) -> Project:
    """Find the project that a folder belongs to; `layerwright new --help` says how.

    Args:
        current: where the search begins, upwards.
        package: the package's folder, where a person named it.

    Raises:
        OptionError: there are several packages, or the named one is outside of the project.
    """
    places = (current, *current.parents)
    root = next((p for p in places if any((p / mark).is_file() for mark in _MARKS)), current)
    source = root / "src" if (root / "src").is_dir() else root
    if package is not None:
        folder = (current / package).resolve()
        source = source if folder.is_relative_to(source) else root
        names = folder.relative_to(source).parts if folder.is_relative_to(source) else ("..",)
        if folder.is_file() or not all(map(str.isidentifier, names)):
            raise OptionError(
                f"--package expected a folder in {root} that can be imported, received "
                f"{str(package)!r}. Fix: such as {os.path.relpath(source / 'my_package', current)}."
            )
        return Project(root, source, folder)
    name = _project_name(root)
    for place in dict.fromkeys((source, root)):
        if name and (place / name).is_dir():
            return Project(root, place, place / name)
        if (place / "layers" / "__init__.py").is_file():
            return Project(root, place, place)
        if found := _packages_in(place):
            if len(found) > 1:
                raise OptionError(
                    f"new expected one package in {place}, found {', '.join(found)}. "
                    f"Fix: --package {os.path.relpath(place / found[0], current)}"
                )
            return Project(root, place, place / found[0])
    return Project(root, source, source / name if name else source)


def is_importable(project: Project, top: str) -> bool:
    """Whether pytest finds the project's code: it is installed, or pyproject.toml says where."""
    pytest = _pyproject(project.root).get("tool", {}).get("pytest", {})
    paths = pytest.get("ini_options", pytest).get("pythonpath", [])  # pytest 9 has both places
    paths = paths.split() if isinstance(paths, str) else paths
    if any((project.root / path).resolve() == project.source for path in paths):
        return True
    kept = sys.path.copy()
    sys.path[:] = [path for path in kept if path and Path(path).resolve() != project.source]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return False
    finally:
        sys.path[:] = kept
    places = [] if spec is None else spec.submodule_search_locations or []
    return any(Path(place).resolve() == project.source / top for place in places)


def _packages_in(folder: Path) -> list[str]:
    names = (path.parent.name for path in folder.glob("*/__init__.py"))
    return sorted(name for name in names if name.isidentifier() and name not in _NO_PACKAGES)


def _project_name(root: Path) -> str | None:
    """The import name that the project's own name suggests."""
    name = _pyproject(root).get("project", {}).get("name")
    tidy = re.sub(r"[-_.]+", "_", name).lower() if isinstance(name, str) else ""
    return tidy if tidy.isidentifier() and not keyword.iskeyword(tidy) else None


def _pyproject(root: Path) -> dict[str, Any]:
    file = root / "pyproject.toml"
    try:
        return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise OptionError(f"{file} expected TOML, and cannot be read: {error}.") from error
