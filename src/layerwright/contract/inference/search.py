"""The search for constructor arguments that give a module like a given one."""

import heapq
import subprocess
from collections.abc import Callable, Sequence
from inspect import Parameter
from typing import Any

import torch
from torch import nn

from layerwright.contract.inference.arguments import Choice, Renew, Slot, slots_of
from layerwright.contract.inference.likeness import differences

Verify = Callable[[nn.Module, Callable[[], nn.Module]], None]

_TRIES = 300  # constructions of a small layer; fewer for one of many parts
_NOT_BUILT = 10**9  # the score of a state whose constructor raised
_SIDE_EFFECTS = (OSError, ImportError, subprocess.SubprocessError, SystemExit)


class CannotRebuild(Exception):  # noqa: N818 - it is no error: rules about construction skip
    """No second instance of a layer can be built; the reason in words."""


class Unlike(CannotRebuild):
    """What was built is not like the layer."""

    def __init__(self, count: int, first: str) -> None:
        more = f" (and {count - 1} more)" if count > 1 else ""
        super().__init__(f"its constructor builds another module: {first}{more}")
        self.count = count


def find_constructor(layer: nn.Module, renew: Renew, verify: Verify) -> Callable[[], nn.Module]:
    """Find constructor arguments that give a module like the layer, the likeliest first.

    Args:
        layer: the module to match.
        renew: makes a fresh module from a part that may have been an argument itself.
        verify: builds with the arguments, and raises CannotRebuild if the result does not match.

    Returns:
        A function that calls the constructor with the arguments found.

    Raises:
        CannotRebuild: there are none, or what fits is ambiguous.
    """
    cls = type(layer)
    slots = _slots(layer, renew)
    start = (0,) * len(slots)
    queue = _Queue(slots, start)
    best = (_NOT_BUILT, CannotRebuild(f"{cls.__name__} cannot be built"))
    for _ in range(max(12, _TRIES // (1 + sum(1 for _ in layer.modules()) // 10))):
        if not queue.heap:
            break
        score, _, state = heapq.heappop(queue.heap)
        try:
            _attempt(layer, slots, state, verify)
        except _Stop:
            raise
        except CannotRebuild as refused:
            reached = refused.count if isinstance(refused, Unlike) else _NOT_BUILT
            if state == start or reached < best[0]:
                best = (reached, refused)
            # go on from what is likelier than before; while nothing could be built, two steps far
            if reached < score or (score == _NOT_BUILT and sum(map(bool, state)) < 2):
                queue.extend(state, reached)
        else:
            _refuse_ambiguous(layer, slots, state)
            return ConstructorCall(cls, slots, state)
    raise best[1]


def _slots(layer: nn.Module, renew: Renew) -> list[Slot]:
    """Return the arguments with their choices; raise if one has none."""
    name = type(layer).__name__
    try:
        slots = slots_of(layer, renew)
    except (TypeError, ValueError) as error:
        raise CannotRebuild(f"{name} does not tell its arguments: {error}") from error
    for slot in slots:
        if not slot.choices:
            raise CannotRebuild(f"cannot find the argument {slot.name!r} of {name}")
    return slots


class _Queue:
    """The states to try: those near the likest module first, of them the likeliest."""

    def __init__(self, slots: Sequence[Slot], start: tuple[int, ...]) -> None:
        self.slots = slots
        self.heap = [(_NOT_BUILT, 0, start)]
        self.seen = {start}

    def extend(self, state: tuple[int, ...], score: int) -> None:
        """Add the states in which one argument has another choice."""
        for place, slot in enumerate(self.slots):
            for choice in range(len(slot.choices)):
                after = (*state[:place], choice, *state[place + 1 :])
                if after not in self.seen:
                    self.seen.add(after)
                    rank = sum(map(bool, after)) * 100 + sum(after)
                    heapq.heappush(self.heap, (score, rank, after))


def _attempt(
    layer: nn.Module,
    slots: Sequence[Slot],
    state: Sequence[int],
    verify: Verify,
) -> None:
    """Build with one choice for each argument; raise CannotRebuild if it does not fit."""
    make = ConstructorCall(type(layer), slots, state)
    guessed = any(choice.guessed for choice in _chosen(slots, state))
    try:
        if any(state):  # a wrong choice may be huge: try it where tensors have no memory
            _compare_on_meta(layer, make, strict=guessed)
        verify(layer, make)
    except CannotRebuild:
        raise
    except _SIDE_EFFECTS as error:
        name = type(layer).__name__
        raise _Stop(f"the constructor of {name} raised {type(error).__name__}: {error}") from error
    except Exception as error:
        raise CannotRebuild(f"its constructor raised {type(error).__name__}: {error}") from error


class _Stop(CannotRebuild):
    """A constructor reached outside of the process: it is not run again."""


def _compare_on_meta(
    layer: nn.Module, make: Callable[[], nn.Module], *, strict: bool = True
) -> None:
    """Raise if a build without memory is not like the layer; one that fails tells nothing."""
    try:
        with torch.device("meta"):
            built = make()
            found = differences(layer, built.to(cast_of(layer, built)))
    except _SIDE_EFFECTS:
        raise
    except Exception:
        if strict:
            raise
        return
    if found:
        raise Unlike(len(found), next(iter(found.values())))


def _refuse_ambiguous(layer: nn.Module, slots: Sequence[Slot], state: Sequence[int]) -> None:
    """Raise if another guess for an argument would have fitted as well."""
    for place, slot in enumerate(slots):
        if not slot.choices[state[place]].guessed:
            continue
        for other, choice in enumerate(slot.choices):
            if other == state[place] or not choice.guessed:
                continue
            varied = (*state[:place], other, *state[place + 1 :])
            try:
                _compare_on_meta(layer, ConstructorCall(type(layer), slots, varied))
            except Exception:  # noqa: BLE001, S112 - this guess does not fit, whatever it raises
                continue
            name = type(layer).__name__
            raise CannotRebuild(f"the argument {slot.name!r} of {name} left no trace")


class ConstructorCall:
    """A class and one choice for each argument of its constructor."""

    def __init__(self, cls: type[nn.Module], slots: Sequence[Slot], state: Sequence[int]) -> None:
        self.cls, self.slots, self.state = cls, slots, state

    def __call__(self) -> nn.Module:
        """Build one."""
        positional, keywords = self.arguments()
        return self.cls(*positional, **keywords)

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Return positional and keyword arguments, made anew."""
        positional: list[Any] = []
        keywords: dict[str, Any] = {}
        by_position = any(
            slot.kind is Parameter.VAR_POSITIONAL and choice.make is not None
            for slot, choice in zip(self.slots, _chosen(self.slots, self.state), strict=True)
        )
        for slot, choice in zip(self.slots, _chosen(self.slots, self.state), strict=True):
            if choice.make is None:
                continue
            value = choice.make()
            if slot.kind is Parameter.VAR_POSITIONAL:
                positional.extend(value)
            elif slot.kind is Parameter.POSITIONAL_ONLY or (
                by_position and slot.kind is Parameter.POSITIONAL_OR_KEYWORD
            ):
                positional.append(value)
            else:
                keywords[slot.name] = value
        return positional, keywords


def _chosen(slots: Sequence[Slot], state: Sequence[int]) -> list[Choice]:
    return [slot.choices[place] for slot, place in zip(slots, state, strict=True)]


def cast_of(layer: nn.Module, built: nn.Module) -> torch.dtype | None:
    """Return the dtype that all of a layer was cast to after construction, as by `double()`."""
    ours, theirs = (
        {item.dtype for item in module.parameters() if item.is_floating_point()}
        for module in (layer, built)
    )
    return next(iter(ours)) if ours != theirs and len(ours) == len(theirs) == 1 else None
