"""Where in the user's own code something is: a class, an attribute, the line that raised."""

import ast
import contextlib
import inspect
import linecache
import sys
import textwrap
from functools import lru_cache
from pathlib import Path
from sysconfig import get_path
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn

if TYPE_CHECKING:
    from types import FrameType

_SITE_PACKAGES = get_path("purelib")  # looked up once: it is asked for at every operator
_NOT_THE_USERS = (
    str(Path(torch.__file__).parent),
    str(Path(__file__).parent),
    get_path("stdlib") + "/",
    "<",
)


class Place(NamedTuple):
    """A line of a file; both None when unknown."""

    file: str | None = None
    line: int | None = None

    @property
    def text(self) -> str:
        """The source line, stripped; "" when unknown."""
        if self.file is None or self.line is None:
            return ""
        return linecache.getline(self.file, self.line).strip()

    def __str__(self) -> str:
        """Like "net.py, line 12"."""
        if self.file is None:
            return "an unknown line"
        return f"{Path(self.file).name}, line {self.line}"


def is_users(filename: str) -> bool:
    """Tell whether a file belongs neither to torch, nor to Python, nor to the contract."""
    if filename.startswith(_SITE_PACKAGES):
        return not filename.startswith(_NOT_THE_USERS[:2])
    return not filename.startswith(_NOT_THE_USERS)


def is_torchs(thing: Any) -> bool:
    """Tell whether torch defines a class or function: whose code it is, not whether it is right."""
    return (getattr(thing, "__module__", None) or "").split(".")[0] == "torch"


def place_of_error(error: BaseException) -> Place:
    """Return the deepest line of the user's code that an exception passed through."""
    found = Place()
    trace = error.__traceback__
    while trace is not None:
        filename = trace.tb_frame.f_code.co_filename
        if is_users(filename):
            found = Place(filename, trace.tb_lineno)
        trace = trace.tb_next
    if found.file is None and error.__cause__ is not None:
        return place_of_error(error.__cause__)
    return found


def place_of_call() -> Place:
    """Return the line of the user's code that is running now, seen from inside torch."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.stack reads every file
    inside = False  # torch called us; what called torch is what we look for
    while frame is not None:
        filename = frame.f_code.co_filename
        ours = filename.startswith(_NOT_THE_USERS[1])
        if is_users(filename):
            return Place(filename, frame.f_lineno)
        if ours and inside:
            return (
                Place()
            )  # the contract's own call of the layer: nothing of the user's lies deeper
        inside = inside or not ours
        frame = frame.f_back
    return Place()


def place_of_class(cls: Any) -> Place:
    """Return where a class or function begins."""
    source = _source_of(cls)
    return Place(source.file, source.line) if source else Place()


def place_of_attribute(module: nn.Module, name: str) -> Place:
    """Return the line of the module's class, or of a base class, that sets `self.name`."""
    for cls in type(module).__mro__:
        line = _assignments(cls).get(name)
        if line is not None:
            return place_of_class(cls)._replace(line=line)
    return place_of_class(type(module))


def place_of_parameter(layer: nn.Module, name: str) -> Place:
    """Return the user's line that makes a parameter, or the part of the layer that it belongs to.

    Where neither is the user's, it is the beginning of the layer's class.
    """
    parts = name.split(".")
    for depth in range(len(parts) - 1, -1, -1):
        owner = layer.get_submodule(".".join(parts[:depth]))
        place = place_of_attribute(owner, parts[depth])
        if place.file is not None and is_users(place.file):
            return place
    return place_of_class(type(layer))


class _Source(NamedTuple):
    """The text of a class or function and where it begins."""

    file: str | None
    line: int
    text: str


# To find a class, inspect parses its whole file. What nobody uses any more goes.
_SOURCES: WeakKeyDictionary[Any, _Source | None] = WeakKeyDictionary()


def _source_of(cls: Any) -> _Source | None:
    if cls in _SOURCES:
        return _SOURCES[cls]
    try:
        lines, line = inspect.getsourcelines(cls)
        source = _Source(inspect.getsourcefile(cls), line, "".join(lines))
    except (OSError, TypeError):  # typed in at a prompt, or written in C
        source = None
    with contextlib.suppress(TypeError):  # methods of a class that is written in C
        _SOURCES[cls] = source
    return source


def _assignments(cls: type) -> dict[str, int]:
    """Map the attributes that a class sets on `self` to the lines of their first assignment."""
    source = None if cls is object or cls is nn.Module else _source_of(cls)
    return {} if source is None else _assignments_in(source)


@lru_cache(maxsize=512)
def _assignments_in(source: _Source) -> dict[str, int]:
    try:
        tree = ast.parse(textwrap.dedent(source.text))
    except SyntaxError:
        return {}
    found: dict[str, int] = {}
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0) + source.line - 1
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
        ):
            found.setdefault(node.attr, line)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"register_buffer", "register_parameter", "add_module"}
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            found.setdefault(str(node.args[0].value), line)
    return found
