"""What modules hold outside their parameters, buffers and submodules: one walk for all rules."""

import functools
import inspect
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from itertools import islice
from typing import Any, Literal

from torch import Tensor, nn

Via = Literal["attribute", "container", "object", "partial", "closure", "class"]

_OWN = frozenset(vars(nn.Module()))  # _parameters, _buffers, _modules, hooks, training
_SEQUENCES = (list, tuple, set, frozenset, deque)
_LIBRARIES = frozenset({*sys.stdlib_module_names, "torch", "numpy"})
_MOST = 10_000  # values of one attribute: a vocabulary is not worth more
_DEEPEST = 6


@dataclass(frozen=True)
class Held:
    """A value that a module holds outside its parameters, buffers and submodules.

    Attributes:
        module_path: the module, as `named_modules` of the layer calls it; "" is the layer.
        module: the module itself.
        attribute: the attribute that leads to the value.
        path: from the module to the value, such as "blocks[0]" or "bank.scale".
        value: what is held.
        via: "attribute" when the attribute is the value; else what it lies in: "container" (list,
            tuple, set, dict, deque), "object" (a dataclass or another object with attributes),
            "partial", "closure" (what a function closes over, or its defaults), or "class": the
            attribute belongs to the class, all instances share it. Of several the last one in
            this order.
    """

    module_path: str
    module: nn.Module
    attribute: str
    path: str
    value: Any
    via: Via

    @property
    def name(self) -> str:
        """From the layer to the value, such as "encoder.blocks[0]"."""
        return f"{self.module_path}.{self.path}" if self.module_path else self.path


def held_outside(layer: nn.Module) -> Iterator[Held]:
    """Yield what the modules of a layer hold outside parameters, buffers and submodules.

    Containers and objects come before what lies in them. A module or tensor is yielded, never
    entered; so is an object of a class of torch, numpy or the standard library.
    """
    for module_path, module in layer.named_modules():
        for attribute, value, via in _attributes(module):
            found = islice(_walk(value, attribute, via, 0, set()), _MOST)
            for path, inner, inner_via in found:
                yield Held(module_path, module, attribute, path, inner, inner_via)


_ORDER: tuple[Via, ...] = ("attribute", "container", "object", "partial", "closure", "class")


def _attributes(module: nn.Module) -> Iterator[tuple[str, Any, Via]]:
    own = vars(module)
    for name, value in list(own.items()):
        if name not in _OWN:
            yield name, value, "attribute"
    for cls in type(module).__mro__:
        if cls.__module__.split(".")[0] in _LIBRARIES:
            continue
        for name, value in list(vars(cls).items()):
            if not name.startswith("__") and name not in own and not _is_code(value):
                yield name, value, "class"


def _is_code(value: Any) -> bool:
    """Tell whether a class attribute is a method, a property or a nested class."""
    return inspect.isroutine(value) or isinstance(value, type) or hasattr(value, "__get__")


def _walk(
    value: Any, path: str, via: Via, depth: int, above: set[int]
) -> Iterator[tuple[str, Any, Via]]:
    yield path, value, via
    if depth == _DEEPEST or id(value) in above:
        return
    for step, inner, kind in _inside(value):
        further = max(via, kind, key=_ORDER.index)
        yield from _walk(inner, path + step, further, depth + 1, above | {id(value)})


def _inside(value: Any) -> Iterator[tuple[str, Any, Via]]:
    if isinstance(value, nn.Module | Tensor | type):
        return
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", inner, "container") for key, inner in list(value.items()))
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from (
            (f".{name}", inner, "container")
            for name, inner in zip(value._fields, value, strict=False)
        )
    elif isinstance(value, _SEQUENCES):
        yield from ((f"[{place}]", inner, "container") for place, inner in enumerate(value))
    elif callable(value) and (found := list(_bound(value))):
        yield from found
    elif is_dataclass(value):
        yield from (
            (f".{item.name}", getattr(value, item.name, None), "object") for item in fields(value)
        )
    elif type(value).__module__.split(".")[0] not in _LIBRARIES:
        inner_values = getattr(value, "__dict__", None)
        if isinstance(inner_values, dict):
            yield from ((f".{name}", inner, "object") for name, inner in inner_values.items())


def _bound(value: Any) -> Iterator[tuple[str, Any, Via]]:
    """Yield what a partial, a function or a method carries with it."""
    if isinstance(value, functools.partial):
        yield ".func", value.func, "partial"
        yield from ((f".args[{place}]", inner, "partial") for place, inner in enumerate(value.args))
        yield from (
            (f".keywords[{name!r}]", inner, "partial") for name, inner in value.keywords.items()
        )
    elif inspect.isfunction(value):
        yield from _closed_over(value)
    elif inspect.ismethod(value):
        yield ".__self__", value.__self__, "closure"
        yield from _closed_over(value.__func__)


def _closed_over(function: Any) -> Iterator[tuple[str, Any, Via]]:
    if (getattr(function, "__module__", None) or "").split(".")[0] in _LIBRARIES:
        return
    for name, cell in zip(
        getattr(getattr(function, "__code__", None), "co_freevars", ()),
        getattr(function, "__closure__", None) or (),
        strict=False,
    ):
        try:
            yield f".<{name}>", cell.cell_contents, "closure"
        except ValueError:  # a cell that is not filled yet
            continue
    for place, default in enumerate(getattr(function, "__defaults__", None) or ()):
        yield f".<default {place}>", default, "closure"
