"""PRF004 grows-per-call."""

from collections import deque
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from layerwright.contract.finding import Finding
from layerwright.contract.isolation import isolated, kept_by_classes
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.rules.purity.call_history_dependent import resetter
from layerwright.contract.source import is_users, place_of_attribute

CALLS = 64  # of a layer that still grows; not as many as time allows, or reports would differ


@rule(
    "PRF004",
    "grows-per-call",
    promise="what a layer keeps does not grow with every call",
    family="performance",
    severity="warning",
    explains=("PRF001",),
    excused_by=("stateful",),
    since="0.1",
)
def grows_per_call(probe: Probe) -> Iterator[Finding]:
    """Calls the layer many times, and measures what it and its classes keep.

    ## Why is this bad
    A list that gets an entry at each step, a hook that is registered in forward, a tensor that is
    concatenated to: memory runs out after hours, and every step is slower than the one before.

    ## Bad
    ```python
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = []

        def forward(self, x):
            weights = (x @ x.transpose(1, 2)).softmax(-1)
            self.scores.append(weights.detach())
            return weights @ x


    case = Case(Attention, inputs=(torch.randn(2, 4, 8),))
    ```

    ## Good
    ```python
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.scores = None

        def forward(self, x):
            weights = (x @ x.transpose(1, 2)).softmax(-1)
            self.scores = weights.detach()
            return weights @ x


    case = Case(Attention, inputs=(torch.randn(2, 4, 8),))
    ```

    ## How to fix
    Keep the last value only, or a `collections.deque(maxlen=...)`; return what the caller should
    collect; register hooks in the constructor.

    ## Limits
    What another method of the class empties is taken for a collection on purpose, and skipped.
    Growth that ends within some dozens of calls is fine.
    """
    reset = ""
    for training in (True, False):
        with isolated(probe.subject.layer), torch.set_grad_enabled(training):
            try:
                layer = probe.layer(training=training)
                grown = _grown(probe, layer)
            except LayerRaised:
                continue
        for growth in grown:
            by = resetter(layer, growth.part, growth.attribute) if growth.part else None
            if by:
                reset = f"{growth.where} grows with each call, and {by} empties it"
                continue
            place = probe.place()
            if growth.part is not None:
                found = place_of_attribute(growth.part, growth.attribute)
                place = found if is_users(found.file or "<") else place
            yield Finding(
                where=growth.where,
                expected="the same size after each further call",
                found=f"{growth.before} entries after the first call, {growth.after} after "
                f"{growth.calls} calls, in {'training' if training else 'eval'} mode",
                fix="keep the last value only, or a deque with maxlen; register hooks in __init__",
                file=place.file,
                line=place.line,
            )
        if grown:
            break
    if reset:
        probe.skip(reset)


class Kept(NamedTuple):
    """An attribute of a part of the layer, or (part None) what a class keeps."""

    where: str
    part: nn.Module | None
    attribute: str


class _Growth(NamedTuple):
    where: str
    part: nn.Module | None
    attribute: str
    before: int
    after: int
    calls: int


def kept_values(layer: nn.Module) -> list[tuple[Kept, Any]]:
    """Return what the parts of a layer and their classes keep, parameters excepted."""
    found: list[tuple[Kept, Any]] = []
    for name, part in layer.named_modules():
        for attribute, value in vars(part).items():
            if attribute != "_parameters":
                found.append((Kept(f"{name}.{attribute}".lstrip("."), part, attribute), value))
    found.extend((Kept(item.where, None, item.name), item.value) for item in kept_by_classes(layer))
    return found


def tensors_in(value: Any, depth: int = 4) -> Iterator[Tensor]:
    """Yield the tensors inside of a value."""
    if isinstance(value, Tensor):
        yield value
    elif depth:
        for item in list(value) if isinstance(value, deque) else _parts(value):
            yield from tensors_in(item, depth - 1)


def _grown(probe: Probe, layer: nn.Module) -> list[_Growth]:
    """Return what is larger after each call than after the one before."""
    probe.call(layer)
    first = last = _sizes(layer)
    growing = set(last)
    for _ in range(CALLS - 1):
        probe.call(layer)
        now = _sizes(layer)
        growing = {kept for kept in growing if now.get(kept, 0) > last[kept]}
        if not growing:
            return []
        last = now
    return [_Growth(*kept, first[kept], last[kept], CALLS) for kept in last if kept in growing]


def _sizes(layer: nn.Module) -> dict[Kept, int]:
    return {kept: _size(value) for kept, value in kept_values(layer)}


def _size(value: Any, depth: int = 4) -> int:
    if isinstance(value, Tensor):
        return value.numel()
    if depth == 0:
        return 0
    parts = _parts(value)
    return len(parts) + sum(_size(item, depth - 1) for item in parts)


def _parts(value: Any) -> list[Any]:
    """Return what a container or an object of a user's class holds; what is bounded holds none."""
    if isinstance(value, Mapping):
        return list(value.values())
    if isinstance(value, deque) and value.maxlen is not None:
        return []
    if isinstance(value, list | tuple | set | deque):
        return list(iter(value))  # a user's tuple may have no __len__
    kept = getattr(value, "__dict__", None)
    if isinstance(kept, dict) and not isinstance(value, nn.Module | type | FunctionType | Tensor):
        return list(kept.values())
    return []
