"""PUR004 call-history-dependent."""

import dis
import inspect
import random
from collections import deque
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.isolation import isolated
from layerwright.contract.probe import Probe, detached
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import place_of_attribute
from layerwright.contract.trees import Inputs

_GENERATORS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_TABLES = {"_parameters", "_buffers", "_modules"}
# What empties or overwrites the value of an attribute without assigning it.
_MUTATORS = {"clear", "zero_", "fill_", "copy_", "pop", "popleft", "reset", "detach_"}


@rule(
    "PUR004",
    "call-history-dependent",
    promise="an answer in eval mode does not depend on what the layer was asked before",
    family="purity",
    needs=("forward", "deterministic"),
    explains=(
        "PUR003", "PUR010", "MOD002", "MOD005", "MOD006", "SER004", "BAT001", "BAT003", "BAT004",
        "CMP002", "CMP005",
    ),
    excused_by=("stateful",),
    since="0.1",
)  # fmt: skip
def call_history_dependent(probe: Probe) -> Iterator[Finding]:
    """Compares the answers of a layer that has been used with those of fresh copies.

    ## Why is this bad
    A mask that is kept from the first input, a hidden state that nobody cleared or a counter in a
    formula: the answer to one image depends on the image before it. Tests that call the layer once
    are green, and the order of the validation set changes the score.

    ## Bad
    ```python
    class Center(nn.Module):
        def __init__(self):
            super().__init__()
            self.mean = None

        def forward(self, x):
            if self.mean is None:
                self.mean = x.detach().mean(1, keepdim=True)
            return x - self.mean


    case = Case(Center, inputs=(torch.randn(4, 8),))
    ```

    ## Good
    ```python
    class Center(nn.Module):
        def forward(self, x):
            return x - x.mean(1, keepdim=True)


    case = Case(Center, inputs=(torch.randn(4, 8),))
    ```

    ## How to fix
    Compute in forward what belongs to one call. Key a cache by all that its value depends on. Let a
    stream show its memory: as a registered buffer, or as an argument and a result; or give it a
    method that resets it, or declare `@lw.traits(stateful=True)`.

    ## Limits
    Memory in registered buffers, memory that another method of the class resets, and generators of
    its own are taken for intention, and skipped. Only inputs of one shape are compared. What a
    class keeps for all its instances is judged by REG010.

    ## References
    - https://github.com/pytorch/pytorch/issues/115774: attributes that forward changes
    """
    with torch.no_grad():
        breach = _breach(probe)
        if breach is None:
            return
        owner, attribute, what = _memory(probe)
    place = place_of_attribute(owner, attribute) if owner is not None else probe.place()
    yield Finding(
        where=what,
        expected=breach.expected,
        found=breach.words + (f"; between the calls {what} changed" if owner is not None else ""),
        fix="compute in forward what belongs to one call, or key the cache by all it depends on",
        file=place.file,
        line=place.line,
    )


class _Breach(NamedTuple):
    expected: str
    words: str


def _breach(probe: Probe) -> _Breach | None:
    """Use a layer on two inputs in turn; return the first answer that a fresh one gives not."""
    first, second = probe.inputs(), other_values(probe)
    try:
        with isolated(probe.subject.layer):
            fresh = detached(probe.call(probe.layer(), second.clone()))
    except LayerRaised:  # other values are outside of its domain
        second, fresh = first, probe.eval_output
    with isolated(probe.subject.layer):
        layer = probe.layer()
        probe.call(layer, first.clone())
        attempt = probe.attempt(lambda: probe.call(layer, second.clone()))
        words = _gap(fresh, attempt)
        if words:
            return _Breach("the same answer to new inputs as of a fresh copy", words)
        attempt = probe.attempt(lambda: probe.call(layer, first.clone()))
        words = _gap(probe.eval_output, attempt)
        if words:
            return _Breach("the same answer to the first inputs when they come again", words)
    with isolated(probe.subject.layer):
        layer, given = probe.layer(), first.clone()
        probe.call(layer, given)
        if _refilled(given, second):
            words = _gap(fresh, probe.attempt(lambda: probe.call(layer, given)))
            if words:
                expected = "the answer of a fresh copy after the input tensor got new values"
                return _Breach(expected, words)
    return None


def _gap(expected: Any, attempt: Any) -> str | None:
    if attempt.raised:
        return f"it raised {attempt.raised.words}"
    return difference(expected, attempt.output)


def _refilled(given: Inputs, new: Inputs) -> bool:
    """Write new values into the tensors of a call, as a loop with a fixed input tensor does."""
    targets, sources = given.tensors(), new.tensors()
    if len(targets) != len(sources):  # forward has added to a list of the caller's
        return False
    for target, source in zip(targets, sources, strict=True):
        if target.tensor.shape != source.tensor.shape or target.tensor.layout != torch.strided:
            return False
        target.tensor.copy_(source.tensor)
    return bool(targets)


def other_values(probe: Probe) -> Inputs:
    """Return inputs with other values: reordered, and halved where that changed nothing."""
    given = probe.inputs()
    if any(item.tensor.layout != torch.strided for item in given.tensors()):
        return given.map_floats(lambda tensor: tensor * 0.5)
    other = probe.other_inputs()
    pairs = zip(given.tensors(), other.tensors(), strict=True)
    if any(difference(one.tensor, two.tensor, exact=True) for one, two in pairs):
        return other
    return probe.inputs().map_floats(lambda tensor: tensor * 0.5)


# --- whose memory it is ----------------------------------------------------------------------


def _memory(probe: Probe) -> tuple[Any, str, str]:
    """Return the module, the attribute and its path that calls change.

    Raises:
        Skip: this kind of memory is meant.
    """
    layer = probe.layer()
    with isolated(probe.subject.layer):
        before = {name: attributes(part) for name, part in layer.named_modules()}
        registered = {name: fingerprint(item) for name, item in _registered(layer)}
        probe.call(layer)
        now = {name: fingerprint(item) for name, item in _registered(layer)}
    tensors = [name for name in now if now[name] != registered.get(name)]
    if tensors:
        probe.skip(f"its memory is registered: {tensors[0]} changes with each call, as a stream's")
    for name, part in layer.named_modules():
        for attribute, value in attributes(part).items():
            if value == before.get(name, {}).get(attribute):
                continue
            path = f"{name}.{attribute}".lstrip(".")
            if isinstance(getattr(part, attribute, None), _GENERATORS):
                probe.skip(f"it draws from a generator of its own, {path}")
            reset = resetter(layer, part, attribute)
            if reset:
                probe.skip(f"{path} changes with each call, and {reset} resets it, as a stream's")
            return part, attribute, path
    return None, "", "forward"


def _registered(layer: nn.Module) -> list[tuple[str, Tensor]]:
    return [*layer.named_parameters(), *layer.named_buffers()]


def attributes(part: nn.Module) -> dict[str, Any]:
    """Return fingerprints of what a module keeps besides parameters, buffers and submodules."""
    return {
        name: fingerprint(value)
        for name, value in vars(part).items()
        if name not in _TABLES and name != "training"
    }


def fingerprint(value: Any, depth: int = 4) -> Any:
    """Return something that is equal as long as the value's content is."""
    if isinstance(value, torch.Generator):
        value = value.get_state()
    if isinstance(value, Tensor):
        if value.layout != torch.strided:
            return id(value)
        content = value.detach().cpu().contiguous().numpy(force=True)
        return (tuple(value.shape), value.dtype, hash(content.tobytes()))
    if isinstance(value, int | float | complex | str | bytes | None):
        return value
    parts = _parts(value) if depth else None
    if parts is None:
        return id(value)
    return tuple((key, fingerprint(item, depth - 1)) for key, item in parts)


def _parts(value: Any) -> list[tuple[Any, Any]] | None:
    """Return what a container or an object of a user's class holds; None if it is neither."""
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list | tuple | set | frozenset | deque):
        return list(enumerate(value))
    kept = getattr(value, "__dict__", None)
    if isinstance(kept, dict) and not isinstance(value, nn.Module | type | FunctionType):
        return list(kept.items())
    return None


def resetter(layer: nn.Module, part: nn.Module, attribute: str) -> str | None:
    """Return the method, outside of what forward calls, that writes an attribute of a part."""
    value = vars(part).get(attribute)
    has_methods = hasattr(value, "__dict__") and not isinstance(value, Tensor | type | FunctionType)
    of_value = _functions(type(value)) if has_methods else []
    functions = [item for owner in layer.modules() for item in _functions(type(owner))] + of_value
    called = {"forward"}
    while True:
        more = {
            name
            for function in functions
            if function.__name__ in called
            for name in _names(function.__code__)
        } | called
        if more == called:
            break
        called = more
    for function in functions:
        name = function.__name__
        if name in called or name.startswith("__") or hasattr(nn.Module, name):
            continue
        if function in of_value or _writes(function.__code__, attribute):
            return function.__qualname__
    return None


def _functions(cls: type) -> list[FunctionType]:
    return [
        inspect.unwrap(value)
        for base in cls.__mro__
        if base is not object and base is not nn.Module
        for value in vars(base).values()
        if inspect.isfunction(value)
    ]


def _names(code: CodeType) -> set[str]:
    inner = [const for const in code.co_consts if isinstance(const, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _writes(code: CodeType, attribute: str) -> bool:
    """Tell whether code assigns an attribute, deletes it, or empties its value."""
    names = _names(code)
    if attribute not in names:
        return False
    return bool(names & _MUTATORS) or _stores(code, attribute)


def _stores(code: CodeType, attribute: str) -> bool:
    return any(
        step.opname in {"STORE_ATTR", "DELETE_ATTR"} and step.argval == attribute
        for step in dis.get_instructions(code)
    ) or any(_stores(const, attribute) for const in code.co_consts if isinstance(const, CodeType))
