"""Which attributes the code of a module reads outside its constructor: read from its methods."""

import functools
import inspect
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

from torch import nn

# With one of these a method reaches attributes without naming them.
_DYNAMIC = frozenset({
    "getattr", "__dict__", "vars", "_modules", "_parameters", "children", "named_children",
    "modules", "named_modules", "parameters", "named_parameters", "get_submodule",
    "get_parameter", "state_dict", "attrgetter", "__getattr__", "eval", "exec", "functional_call",
})  # fmt: skip
_INSTEAD_OF_USE = frozenset({"__init__", "extra_repr", "__repr__", "reset_parameters"})
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


def may_read(layer: nn.Module, path: str) -> bool:
    """Tell whether a method of any module above a part reads it, on whatever branch.

    Args:
        layer: the whole layer.
        path: of a submodule or a parameter, such as "blocks.0.norm".

    Returns:
        False only if no method but constructors names the part, and none finds parts by other
        means than names. Code of torch is trusted to read what it has.
    """
    names = path.split(".")
    judged = False
    for depth in range(len(names)):
        above = layer.get_submodule(".".join(names[:depth]))
        inner = _named(layer, names, depth)
        if not inner:  # a member of a container: what reads the container decides
            continue
        judged = True
        read = _read_by(above)
        if read is None or all(name in read for name in inner):
            return True
    return not judged


def _named(layer: nn.Module, names: list[str], depth: int) -> list[str]:
    """Return the names that code of the module at this depth must use to reach the end."""
    kept = []
    for place in range(depth, len(names)):
        owner = layer.get_submodule(".".join(names[:place]))
        if isinstance(owner, _CONTAINERS):
            if place == depth:
                return []
            continue
        kept.append(names[place])
    return kept


def _read_by(module: nn.Module) -> frozenset[str] | None:
    """Return the names that a module's methods use; None if they may reach everything."""
    if type(module).__module__.split(".")[0] == "torch":
        return None
    cls: Any = type(module)
    read = _read_by_class(cls)
    if read is None:
        return None
    more: set[str] = set()
    for value in vars(module).values():  # functions held by the instance
        for code in _codes(value):
            more |= _names(code)
    return None if more & _DYNAMIC else read | more


@functools.lru_cache(maxsize=512)
def _read_by_class(cls: type) -> frozenset[str] | None:
    methods: dict[str, set[str]] = {}
    for base in cls.__mro__:
        if base.__module__.split(".")[0] == "torch":
            if base is not nn.Module and "forward" in vars(base) and "forward" not in methods:
                return None  # torch's own forward runs
            continue
        for name, value in vars(base).items():
            if name in methods and "super" not in methods[name]:
                continue
            found = {item for code in _codes(value) for item in _names(code)}
            methods[name] = methods.get(name, set()) | found
    constructing = _reached(methods, {"__init__"})
    using = _reached(
        methods,
        {"forward"} | (methods.keys() - constructing - _INSTEAD_OF_USE),
    )
    names = {item for name in using for item in methods[name]}
    return None if names & _DYNAMIC else frozenset(names)


def _reached(methods: dict[str, set[str]], roots: set[str]) -> set[str]:
    found: set[str] = set()
    waiting = [name for name in roots if name in methods]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(other for other in methods[name] if other in methods)
    return found - {"__init__"} if "__init__" not in roots else found


def _codes(value: Any, depth: int = 0) -> Iterator[CodeType]:
    """Yield the code of a function, a method or a property, and of the functions that it calls."""
    if depth > 3:
        return
    if isinstance(value, property):
        for part in (value.fget, value.fset):
            yield from _codes(part, depth)
        return
    for function in _functions(value):
        yield function.__code__
        for other in _called_by(function):
            yield from _codes(other, depth + 1)


def _functions(value: Any) -> Iterator[FunctionType]:
    """Yield the functions behind a value: what a method, a partial or a decorator wraps."""
    if isinstance(value, staticmethod | classmethod) or inspect.ismethod(value):
        value = value.__func__
    if isinstance(value, functools.partial):
        value = value.func
    for item in (value, getattr(value, "__wrapped__", None) if callable(value) else None):
        if isinstance(item, FunctionType) and not (item.__module__ or "").startswith("torch."):
            yield item


def _called_by(function: FunctionType) -> Iterator[Any]:
    """Yield what a function closes over, and the functions of its module that it names."""
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a cell that is not filled yet
            continue
    for name in function.__code__.co_names:
        other = function.__globals__.get(name)
        if isinstance(other, FunctionType) and other is not function:
            yield other


def _names(code: CodeType) -> set[str]:
    """Return the names, and the texts that may be names, of a piece of code."""
    found = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found |= _names(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            found.add(constant)
    return found
