"""Isolation: whatever a layer does to the process while it is checked is undone."""

import contextlib
import dis
import functools
import inspect
import io
import logging
import warnings
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.contract.source import is_torchs
from layerwright.random_numbers import random_numbers_kept

_PLAIN = (int, float, complex, bool, str, bytes, type(None), Tensor)
_CONTAINERS = (list, dict, set)
_DETERMINISTIC: Any = torch.utils.deterministic  # a module with a property: mypy cannot see it


@contextlib.contextmanager
def isolated(layer: nn.Module | None = None) -> Iterator[None]:
    """Undo, at the end, what happens inside to global state; hush prints, warnings and logs.

    Undone: the random states of torch, numpy and random; grad mode; default dtype and device;
    deterministic flags; threads; autocast; anomaly mode; what the classes of the layer keep on
    themselves, in default arguments and in the global variables that they use.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.enter_context(hushed_logs())
        stack.callback(restore_state, global_state())
        stack.enter_context(random_numbers_kept())
        for kept in kept_by_classes(layer) if layer is not None else ():
            stack.callback(kept.restore)
        yield


@contextlib.contextmanager
def hushed_logs() -> Iterator[None]:
    """Hush logs: torch logs operators that it cannot simulate.

    Switching empties the caches of all loggers, so who isolates often does this once outside.
    """
    before = logging.root.manager.disable
    if before >= logging.CRITICAL:
        yield
        return
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def global_state() -> dict[str, Any]:
    """Return the switches of torch that a layer might turn."""
    return {
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "deterministic algorithms": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        "filling of uninitialised memory": _DETERMINISTIC.fill_uninitialized_memory,
        "number of threads": torch.get_num_threads(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "anomaly mode": (
            torch.is_anomaly_enabled(),
            torch.is_anomaly_check_nan_enabled(),
        ),
        "float32 matmul precision": torch.get_float32_matmul_precision(),
        "cudnn benchmark": torch.backends.cudnn.benchmark,
        "cudnn determinism": torch.backends.cudnn.deterministic,
    }


def restore_state(state: dict[str, Any]) -> None:
    """Put back what `global_state` returned."""
    now = global_state()
    for name, value in state.items():
        if now[name] != value:
            _SETTERS[name](value)


def _set_determinism(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _set_filling(value: bool) -> None:  # noqa: FBT001 - one of several setters of one argument
    _DETERMINISTIC.fill_uninitialized_memory = value


def _set_anomaly(value: tuple[bool, bool]) -> None:
    torch.autograd.set_detect_anomaly(*value)


_SETTERS: dict[str, Any] = {
    "grad mode": torch.set_grad_enabled,
    "inference mode": lambda _: None,  # only a context manager turns it, which ends by itself
    "default dtype": torch.set_default_dtype,
    "default device": torch.set_default_device,
    "deterministic algorithms": _set_determinism,
    "filling of uninitialised memory": _set_filling,
    "number of threads": torch.set_num_threads,
    "autocast": lambda value: torch.set_autocast_enabled("cpu", value),
    "anomaly mode": _set_anomaly,
    "float32 matmul precision": torch.set_float32_matmul_precision,
    "cudnn benchmark": lambda value: setattr(torch.backends.cudnn, "benchmark", value),
    "cudnn determinism": lambda value: setattr(torch.backends.cudnn, "deterministic", value),
}


class Kept:
    """A value that a class, a default argument or a global variable holds, and its content now."""

    def __init__(self, owner: Any, name: str, value: Any, where: str) -> None:
        self.owner, self.name, self.value, self.where = owner, name, value, where
        self.content = _content(value)

    def changed(self) -> bool:
        """Tell whether the value was replaced, or its content changed."""
        now = self._now()
        return now is not self.value or not _same(_content(self.value), self.content)

    def restore(self) -> None:
        """Put value and content back."""
        if not self.changed():
            return
        if isinstance(self.value, list):
            self.value[:] = self.content
        elif isinstance(self.value, dict | set):
            self.value.clear()
            self.value.update(self.content)
        elif isinstance(self.value, Tensor) and self.value.shape == self.content.shape:
            with torch.no_grad():
                self.value.detach().copy_(self.content)
        if isinstance(self.owner, dict):
            self.owner[self.name] = self.value
        elif isinstance(self.owner, type):
            setattr(self.owner, self.name, self.value)

    def _now(self) -> Any:
        if isinstance(self.owner, dict):
            return self.owner.get(self.name)
        if isinstance(self.owner, type):
            return vars(self.owner).get(self.name)
        return self.value


def kept_by_classes(layer: nn.Module) -> list[Kept]:
    """Return what the classes of a layer, torch's excepted, keep outside their instances."""
    found: list[Kept] = []
    seen: set[type] = set()
    for module in layer.modules():
        for cls in type(module).__mro__:
            if cls in seen or cls is object or is_torchs(cls):
                continue
            seen.add(cls)
            found.extend(_kept_by(cls))
    return found


def _kept_by(cls: type) -> Iterable[Kept]:
    for name, value in list(vars(cls).items()):
        if name.startswith("__"):
            continue
        if isinstance(value, (*_PLAIN, *_CONTAINERS)):
            yield Kept(cls, name, value, f"{cls.__qualname__}.{name}")
        function = inspect.unwrap(value) if inspect.isfunction(value) else None
        if function is None:
            continue
        for place, default in enumerate(function.__defaults__ or ()):
            if isinstance(default, _CONTAINERS):
                where = f"default argument {place} of {cls.__qualname__}.{name}"
                yield Kept(None, name, default, where)
        for used in _globals_of(function.__code__):
            kept = function.__globals__.get(used)
            if isinstance(kept, _CONTAINERS) and len(kept) < 10_000:
                yield Kept(function.__globals__, used, kept, f"global variable {used}")


@functools.lru_cache(maxsize=4096)  # a large class has many methods, and each rule asks again
def _globals_of(code: CodeType) -> frozenset[str]:
    """Return the names of the global variables that a function reads; not attributes."""
    steps = dis.get_instructions(code)
    return frozenset(str(step.argval) for step in steps if step.opname == "LOAD_GLOBAL")


def _content(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    return value.copy() if isinstance(value, _CONTAINERS) else value


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return (
            isinstance(other, Tensor)
            and one.shape == other.shape
            and bool(
                ((one == other) | ((one != one) & (other != other))).all()  # noqa: PLR0124 - NaN
            )
        )
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return one is other or bool(type(one) is type(other) and one == other)
