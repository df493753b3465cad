"""Loads the definitions of a file that may be a script, and leaves out its work."""

import contextlib
import hashlib
import linecache
import re
import sys
from collections.abc import Iterable, Iterator
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

from torch import nn

from layerwright.contract.loading.missing_name import Missing
from layerwright.contract.loading.script_loading import ImportFailure, LeftOut, Loading, Script
from layerwright.errors import TargetError
from layerwright.names import nearest
from layerwright.targets import FileLoader, importable

__all__ = [
    "ImportFailure",
    "LeftOut",
    "Missing",
    "Script",
    "classes_of",
    "find_in",
    "load_script",
]

_loaded: dict[str, Script] = {}  # by the name of the module


def load_script(path: str | Path, *, run: bool = False, wanted: Iterable[str] = ()) -> Script:
    """Load what a file defines: its imports, classes, functions and simple assignments.

    Its work is left out: loops, with-blocks, calls that read, train or print, and
    `if __name__ == "__main__":`. An assignment that is work runs all the same if a definition
    cannot be made without it, with what it needs itself; one that builds tensors or modules of
    torch also runs if only the body of a class uses it. The rest is bound to a `Missing`.

    The module has a name of its own, made from path and content, and stays in `sys.modules`: an
    unchanged file is loaded once, its classes can be pickled, and their source lines are the
    file's.

    Args:
        path: the file.
        run: run all of it, as `python file.py` does.
        wanted: names that are wanted although their assignment may be work, such as "model".

    Raises:
        TargetError: the file is missing or no valid Python; with `run`, anything that it raises.
    """
    file = Path(path)
    if not file.is_file():
        raise TargetError(f"{path} expected a file, which does not exist.")
    file = file.resolve()
    source = file.read_bytes()
    wanted = sorted({name.split(".")[0] for name in wanted})
    identity = b"\0".join([bytes(file), source, repr((run, wanted)).encode()])
    digest = hashlib.sha256(identity).hexdigest()[:12]
    name = f"{re.sub(r'[^A-Za-z0-9_]', '_', file.stem)}_{digest}"
    if name in _loaded and sys.modules.get(name) is _loaded[name].module:
        return _loaded[name]
    loader = FileLoader(name, str(file))
    spec = spec_from_loader(name, loader)
    if spec is None:
        raise TargetError(f"{path} expected a Python file, and cannot be imported.")
    module = module_from_spec(spec)
    linecache.checkcache(str(file))
    sys.modules[name] = module
    try:
        with importable(file.parent), _arguments(str(file)):
            loading = Loading(file, source, module)
            script = loading.run_all() if run else loading.load(wanted)
    except BaseException:
        del sys.modules[name]
        raise
    _loaded[name] = script
    return script


def classes_of(script: Script) -> list[type[nn.Module]]:
    """Return the module classes that a script defines, in order of definition."""
    found = dict.fromkeys(
        value
        for value in vars(script.module).values()
        if isinstance(value, type)
        and issubclass(value, nn.Module)
        and value.__module__ == script.module.__name__
    )
    return list(found)


def find_in(script: Script, name: str) -> Any:
    """Return what a script binds to a name, which may be dotted.

    Raises:
        TargetError: there is no such name, or it could not be bound; the message says why.
    """
    value: Any = script.module
    for part in name.split("."):
        names = [item for item in vars(value) if not item.startswith("_")]
        if part not in vars(value):
            near = nearest(part, dict.fromkeys(names))
            hint = f"Did you mean {near!r}?" if near else f"Known: {', '.join(sorted(names)[:20])}."
            raise TargetError(
                f"{script.module.__file__} expected the name {name!r}, which it does not "
                f"define. {hint}"
            )
        value = vars(value)[part]
        if isinstance(value, Missing):
            raise TargetError(value.__why__)
    return value


@contextlib.contextmanager
def _arguments(path: str) -> Iterator[None]:
    """Let a script see no command line arguments but its name."""
    before = sys.argv
    sys.argv = [path]
    try:
        yield
    finally:
        sys.argv = before
