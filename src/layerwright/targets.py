"""What a target means: "file.py:Net", "pkg.mod:Net", "pkg.mod", or a built-in network's name.

Only what a person names is imported. Nothing in a run folder is: see docs/decisions/0001.
"""

import hashlib
import importlib
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from inspect import Parameter, signature
from pathlib import Path
from sysconfig import get_path
from types import ModuleType
from typing import Any

from torch import nn

from layerwright.errors import OptionError, TargetError
from layerwright.names import name_of, nearest

_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"  # Net, Outer.Net, pkg.mod
_OBJECT = re.compile(rf"(?P<module>.+\.py|{_NAME}):(?P<name>{_NAME})")
_LIBRARIES = re.compile(rf"^{re.escape(get_path('stdlib'))}|(site|dist)-packages")


def is_object_spec(text: str) -> bool:
    """Tell "file.py:name" and "pkg.mod:name" from built-in names, paths and devices."""
    return _OBJECT.fullmatch(text) is not None


def load_object(spec: str) -> Any:
    """Import what a person named.

    A file is imported under a module name of its own, made from its path and content: the same
    file gives the same classes, an edited one gives new ones. Its folder, or the current one for
    "pkg.mod", is importable meanwhile, as under `python file.py`. DataLoader workers that are
    forked can unpickle what the file defines; spawned ones need "pkg.mod:name".

    Args:
        spec: "file.py:name", "pkg.mod:name", "file.py" or "pkg.mod"; a name may be dotted.

    Returns:
        The object; for a file or module without a name, the module.

    Raises:
        TargetError: the file, module or name does not exist, or importing it failed.
    """
    match = _OBJECT.fullmatch(spec)
    place = match["module"] if match else spec
    if not match and not place.endswith(".py") and not re.fullmatch(_NAME, place):
        raise TargetError(f"{spec!r} expected the form file.py:name or pkg.mod:name.")
    module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    value: Any = module
    for part in match["name"].split(".") if match else ():
        if not hasattr(value, part):
            kind = f"the class {value.__name__!r} in {place}" if isinstance(value, type) else place
            raise TargetError(
                f"{spec!r} expected the name {part!r} in {kind}, which has no such name. "
                f"{_nearest(part, _public_names(value))}"
            )
        value = getattr(value, part)
    return value


def resolve_network(spec: Any) -> Any:
    """Turn a network's name, target, class, function or instance into what builds or is it.

    Args:
        spec: a built-in name, "file.py:Net", "pkg.mod:Net", an `nn.Module` class or instance, or
            a function that returns an instance.

    Returns:
        A class, a function or an instance.

    Raises:
        OptionError: the name is unknown, or the object builds no network.
        TargetError: a target leads nowhere.
    """
    found = spec
    if isinstance(spec, str):
        if is_object_spec(spec):
            found = load_object(spec)
        else:
            _refuse_places(spec)
            from layerwright.networks import network_class  # noqa: PLC0415 - see docs/decisions/0001

            return network_class(spec)
    if isinstance(found, type) and not issubclass(found, nn.Module):
        raise OptionError(
            f"network expected an nn.Module, received the class {found.__name__!r}, which is none. "
            "Fix: derive it from torch.nn.Module."
        )
    if not callable(found):
        raise OptionError(
            "network expected a name, an nn.Module or a function that returns one, "
            f"received {found!r}."
        )
    return found


def build_network(
    spec: Any,
    *,
    input_shape: Any = None,
    num_outputs: int | None = None,
    vocabulary_size: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a network for data of this shape; an instance is returned as it is.

    A constructor (or function) that names `input_shape`, `num_classes`, `num_outputs` or
    `vocabulary_size` among its arguments is given them; `options` come first and give whatever else
    it needs.

    Args:
        spec: what `resolve_network` takes.
        input_shape: shape of one sample, without the batch dimension; None when unknown.
        num_outputs: number of classes, or of values to regress; None when unknown.
        vocabulary_size: for texts, one more than the largest token; None for other data.
        options: keyword arguments of the constructor.

    Raises:
        OptionError: an argument is missing or unknown, or nothing like a network came out.
        ShapeError: a built-in network does not fit `input_shape`.
        TargetError: a target leads nowhere.
    """
    options = dict(options or {})
    maker = resolve_network(spec)
    if isinstance(maker, nn.Module):
        if options:
            raise OptionError(
                f"network_options expected none for a network that is already built, received "
                f"{options!r}. Fix: give the class {type(maker).__name__} instead of an instance."
            )
        return maker
    known = {
        "input_shape": input_shape,
        "num_classes": num_outputs,
        "num_outputs": num_outputs,
        "vocabulary_size": vocabulary_size,
    }
    network = maker(**constructor_arguments(maker, known, options))
    if not isinstance(network, nn.Module):
        raise OptionError(
            f"{name_of(maker)} expected to return an nn.Module, received {type(network).__name__}."
        )
    return network


def constructor_arguments(
    maker: Callable[..., Any], known: Mapping[str, Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Choose what of `known` the constructor names; refuse missing and unknown arguments."""
    try:
        parameters = signature(maker).parameters.values()
    except (TypeError, ValueError):  # some callables written in C tell nothing
        return dict(options)
    keywords = {
        item.name: item
        for item in parameters
        if item.kind in {Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY}
    }
    if not any(item.kind is Parameter.VAR_KEYWORD for item in parameters):
        for name in options:
            if name not in keywords:
                raise OptionError(
                    f"{name_of(maker)} has no option {name!r}. {_nearest(name, keywords)}"
                )
    given = {
        name: value for name, value in known.items() if name in keywords and value is not None
    } | dict(options)
    missing = [
        name for name, item in keywords.items() if item.default is item.empty and name not in given
    ]
    if missing:
        raise OptionError(
            f"{name_of(maker)} needs {', '.join(missing)}, which the data does not tell. "
            f"Fix: --network-option {missing[0]}=value, "
            f"or in Python network_options={{{missing[0]!r}: value}}."
        )
    return given


def _import_file(path: Path) -> ModuleType:
    """Import a file by its path, without leaving compiled code beside it."""
    if not path.is_file():
        folder = path.parent
        if not folder.is_dir():
            raise TargetError(f"{path} expected a file, and the folder {folder} does not exist.")
        names = [item.name for item in folder.glob("*.py")]
        beside = _nearest(path.name, names) if names else f"There is no .py file in {folder}."
        raise TargetError(f"{path} expected a file, which does not exist. {beside}")
    path = path.resolve()
    source = path.read_bytes()
    digest = hashlib.sha256(bytes(path) + b"\0" + source).hexdigest()[:12]
    name = f"{re.sub(r'[^A-Za-z0-9_]', '_', path.stem)}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    loader = FileLoader(name, str(path))
    spec = spec_from_loader(name, loader)
    if spec is None:
        raise TargetError(f"{path} expected a Python file, and cannot be imported.")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        with importable(path.parent):
            loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise TargetError(failure_in_words(str(path), error)) from error
    return module


def _import_module(name: str) -> ModuleType:
    """Import a module by its name, from the current folder too."""
    try:
        with importable(Path.cwd()):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise TargetError(failure_in_words(name, error)) from error
        raise TargetError(
            f"{name!r} expected a module, and there is no module {error.name!r}. "
            "Fix: run from the folder that holds it, install it, or give the path of its .py file."
        ) from None
    except (Exception, SystemExit) as error:
        raise TargetError(failure_in_words(name, error)) from error


class FileLoader(SourceFileLoader):
    """Compiles from source each time: no __pycache__ in a user's folder, no stale code."""

    def path_stats(self, path: str) -> Mapping[str, Any]:
        """Say that there is no compiled code to read or write."""
        raise OSError(path)


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Let imports find a folder's files, as `python file.py` does."""
    entry = str(folder)
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        if entry in sys.path:  # the imported code may have changed sys.path itself
            sys.path.remove(entry)


def failure_in_words(place: str, error: BaseException) -> str:
    """Say which line of a person's own code an import failed at."""
    file, line, text = place, None, str(error)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith("<frozen")
    ]
    own = [frame for frame in frames if not _LIBRARIES.search(frame.filename)]
    if isinstance(error, SyntaxError):
        file, line, text = error.filename or place, error.lineno, error.msg
    elif frames:
        file, line = (own or frames)[-1].filename, (own or frames)[-1].lineno
    return f"{place} could not be imported: {type(error).__name__}: {text} ({file}, line {line})."


def _refuse_places(spec: str) -> None:
    """Say what is missing when a file, module or folder stands where a network should."""
    if spec.endswith(".py"):
        raise TargetError(f"{spec} expected a name after the file, such as {spec}:Net.")
    if (Path(spec) / "config.json").is_file():
        raise TargetError(
            f"{spec} expected a network, and is a run folder. Fix: layerwright resume {spec}"
        )
    if "/" in spec or "\\" in spec or ":" in spec:
        raise TargetError(
            f"{spec!r} expected a built-in network's name, or file.py:Net, or pkg.mod:Net."
        )
    if "." in spec:
        raise TargetError(f"{spec!r} expected a name after the module, such as {spec}:Net.")


def _public_names(value: Any) -> list[str]:
    return [
        name
        for name in dir(value)
        if not name.startswith("_") and not isinstance(getattr(value, name, None), ModuleType)
    ]


def _nearest(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    near = nearest(name, dict.fromkeys(known))
    if near:
        return f"Did you mean {near!r}?"
    return f"Known: {', '.join(known[:20])}." if known else "It holds no names."
