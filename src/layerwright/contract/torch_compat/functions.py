"""Watching autograd Functions run: their arguments, outputs and what forward marks on ctx."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from layerwright.contract.source import Place, place_of_call
from layerwright.contract.trees import map_tensors, named_tensors

# One class that is applied in a loop, over time steps say, need not be looked at a thousand times.
MOST_OF_A_CLASS = 4
MOST_VALUES = 20_000_000


@dataclass(frozen=True)
class FunctionCall:
    """One call of an `autograd.Function` that a backward pass can reach.

    Attributes:
        cls: the Function.
        args: what it was applied to, as it was before the call; private copies.
        needs_grad: for each argument, whether a gradient was asked for.
        written: places of the arguments that forward wrote and did not mark as dirty.
        place: the line of the user's code that applied it.
    """

    cls: type[torch.autograd.Function]
    args: tuple[Any, ...]
    needs_grad: tuple[bool, ...]
    written: tuple[int, ...]
    place: Place


@contextlib.contextmanager
def recorded_functions() -> Iterator[list[FunctionCall]]:
    """Record the calls of all Functions, torch's own excepted, that run inside.

    `apply` looks `forward` up at each call, so that this sees aliases such as `relu = Relu.apply`
    and what a checkpoint computes again, too.
    """
    calls: list[FunctionCall] = []
    classes = _user_functions()
    originals = [(cls, cls.forward, vars(cls).get("forward")) for cls in classes]
    seen: dict[Any, int] = {}
    try:
        for cls, forward, _ in originals:
            watching = _watching(cls, forward, calls, seen)
            cls.forward = staticmethod(watching)  # type: ignore[method-assign]
        yield calls
    finally:
        for cls, _, own in originals:
            if own is None:
                del cls.forward
            else:
                cls.forward = own  # type: ignore[method-assign]


def is_function_node(node: Any) -> bool:
    """Tell whether a node of a graph belongs to a Function written in Python."""
    return hasattr(node, "_forward_cls")


def _watching(
    cls: type[torch.autograd.Function],
    forward: Callable[..., Any],
    calls: list[FunctionCall],
    seen: dict[Any, int],
) -> Callable[..., Any]:
    separate = cls.setup_context is not torch.autograd.Function.setup_context  # no ctx in forward

    def watching(*given: Any, **kwargs: Any) -> Any:
        ctx, args = (None, given) if separate else (given[0], given[1:])
        needs = tuple(isinstance(arg, Tensor) and arg.requires_grad for arg in args)
        kind = _kind(cls, args, needs)
        if (
            kwargs
            or not any(needs)
            or seen.get(kind, 0) >= 1
            or seen.get(cls, 0) >= MOST_OF_A_CLASS
            or sum(item.tensor.numel() for item in named_tensors(args)) > MOST_VALUES
        ):
            return forward(*given, **kwargs)
        seen[kind], seen[cls] = 1, seen.get(cls, 0) + 1
        place = place_of_call()
        before = tuple(map_tensors(arg, copied) for arg in args)
        versions = [arg._version if isinstance(arg, Tensor) else 0 for arg in args]  # noqa: SLF001
        output = forward(*given, **kwargs)
        marked = () if ctx is None else getattr(ctx, "dirty_tensors", None) or ()
        written = tuple(
            place
            for place, (arg, version) in enumerate(zip(args, versions, strict=True))
            if isinstance(arg, Tensor)
            and arg._version != version  # noqa: SLF001
            and not separate
            and not any(arg is item for item in marked)
        )
        calls.append(FunctionCall(cls, before, needs, written, place))
        return output

    return watching


def copied(tensor: Tensor) -> Tensor:
    """Return a copy without graph; broadcast memory becomes dense, other strides are kept."""
    return tensor.detach().clone()


def _kind(cls: type, args: tuple[Any, ...], needs: tuple[bool, ...]) -> Any:
    """Return what tells calls apart that may run different code."""
    return (cls, needs, *map(_form, args))


def _form(arg: Any) -> Any:
    if isinstance(arg, Tensor):
        stride = arg.stride() if arg.layout is torch.strided else None
        return tuple(arg.shape), arg.dtype, stride
    if isinstance(arg, int | float | str | bool | tuple | list | type(None)):
        return repr(arg)[:100]
    return type(arg)


def _user_functions() -> list[type[torch.autograd.Function]]:
    """Return all Functions that are loaded and are not torch's own."""
    found: dict[type[torch.autograd.Function], None] = {}
    waiting: list[Any] = list(torch.autograd.Function.__subclasses__())
    while waiting:
        cls = waiting.pop()
        if cls in found:
            continue
        waiting.extend(cls.__subclasses__())
        if cls.__module__.split(".")[0] != "torch":
            found[cls] = None
    return list(found)
