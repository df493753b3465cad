"""Fresh copies of a layer, also of one that `copy.deepcopy` refuses."""

import copy
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from types import MethodType
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import UninitializedBuffer
from torch.utils.hooks import RemovableHandle


def fresh_copy(layer: nn.Module) -> nn.Module:
    """Return a copy that shares no parameter, buffer or attribute with the layer, where possible.

    What cannot be copied does not end the check: a tensor in the middle of a graph is copied
    without its graph, a module that refuses is copied attribute by attribute, any other object
    that refuses is shared. SER rules report all three.
    """
    memo: dict[int, Any] = {}
    _note_empty(layer, memo)
    try:
        return copy.deepcopy(layer, memo)
    except Exception:  # noqa: BLE001 - attributes of any class may refuse in any way
        memo = {}
        _note_refusals(layer, memo)
        _note_twins(layer, memo)
        return copy.deepcopy(layer, memo)


def _note_empty(layer: nn.Module, memo: dict[int, Any]) -> None:
    """Put into a deepcopy's memo a new dict for each one that is empty.

    A module without a hook holds a dozen of these, on which a copy would spend most of its time.
    """
    seen, waiting = set(), [layer]
    while waiting:  # not modules(): the layer may lack what nn.Module.__init__ sets
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        children = vars(part).get("_modules", {}).values()
        waiting.extend(child for child in children if child is not None)
        for value in vars(part).values():
            if type(value) is OrderedDict and not value:
                memo[id(value)] = OrderedDict()


def _note_refusals(layer: nn.Module, memo: dict[int, Any]) -> None:
    """Put into a deepcopy's memo what stands in for what refuses."""
    for value in _reachable(layer):
        if isinstance(value, UninitializedBuffer):
            options: dict[str, Any] = {"device": value.device, "dtype": value.dtype}
            memo[id(value)] = UninitializedBuffer(**options)
        elif isinstance(value, Tensor):
            if not value.is_leaf:
                memo[id(value)] = value.detach().clone()
        elif not isinstance(value, RemovableHandle) and not _copyable(value):
            memo[id(value)] = value


def _note_twins(layer: nn.Module, memo: dict[int, Any]) -> None:
    """Put into a deepcopy's memo a twin of each module whose own class refuses.

    Such a module has a `__new__` that wants arguments, or a `__deepcopy__` that raises.
    """
    refusing = [part for part in layer.modules() if not _copyable(part, memo)]
    for part in refusing:
        memo[id(part)] = object.__new__(type(part))
    for part in refusing:
        vars(memo[id(part)]).update(copy.deepcopy(vars(part), memo))


def _reachable(layer: nn.Module) -> Iterator[Any]:
    """Yield what modules hold, containers opened; hooks that are methods belong to a module."""
    seen: set[int] = set()
    waiting: list[Any] = [layer]
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, nn.Module):
            waiting.extend(vars(value).values())
        elif isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple | set | frozenset):
            waiting.extend(value)
        elif isinstance(value, MethodType):
            waiting.append(value.__self__)
        else:
            yield value


def _copyable(value: Any, memo: dict[int, Any] | None = None) -> bool:
    if isinstance(value, Iterable) and not hasattr(value, "__len__"):
        return False  # a generator or a file: copying might use it up
    try:
        copy.deepcopy(value, dict(memo or {}))
    except Exception:  # noqa: BLE001 - see fresh_copy
        return False
    return True
