"""Tensors that a moved layer would meet on two devices, told by what forward does to them."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from layerwright.contract.source import Place, place_of_call
from layerwright.contract.trees import named_tensors

_MOVES = frozenset({"to", "type_as", "cuda", "cpu", "xpu", "new_tensor", "tensor", "as_tensor"})
_CROSSES = frozenset({"copy_", "__setitem__", "item", "tolist", "numpy", "equal", "allclose"})


class Meeting(NamedTuple):
    """A call that takes a tensor that stays together with one that moves."""

    function: str
    place: Place


class MeetingWatch(TorchFunctionMode):
    """Watches a forward pass for calls that need two tensors on one device.

    Tensors that derive from `staying` ones alone stay too, until the layer moves them itself, as
    `self.table.to(x.device)` does; all that derives from `moving` ones moves. A tensor without
    dimensions and an index may stay: torch takes both from the CPU.

    Attributes:
        meetings: the first such call of each tensor of `staying`, by its place there.
        asked: places of those whose device the layer asks for, or moves: it may well cope.
    """

    def __init__(self, staying: Iterable[Tensor], moving: Iterable[Tensor]) -> None:
        super().__init__()
        self.meetings: dict[int, Meeting] = {}
        self.asked: set[int] = set()
        self._kept: list[Any] = []  # an id is only worth something while its tensor lives
        self._moving: set[int] = set()
        self._staying: dict[int, frozenset[int]] = {}
        for tensor in moving:
            self._note_moving(tensor)
        for place, tensor in enumerate(staying):
            self._note_staying(tensor, frozenset({place}))

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Run the function and note where its result lives."""
        del types
        kwargs = kwargs or {}
        given = [item.tensor for item in named_tensors((args, kwargs))]
        staying = [tensor for tensor in given if id(tensor) in self._staying]
        moving = any(id(tensor) in self._moving for tensor in given)
        output = func(*args, **kwargs)
        if not staying:
            if moving:
                self._note_all(output, self._note_moving)
            return output
        name = _name(func)
        places = frozenset().union(*(self._staying[id(tensor)] for tensor in staying))
        if name == "device":
            self.asked |= places
        elif _is_move(name, args, kwargs):
            self.asked |= places
            # `to` returns the tensor itself when nothing is to be done, and that one still stays
            output = output.view_as(output) if id(output) in self._staying else output
            self._note_all(output, self._note_moving)
        elif moving:
            if name not in _CROSSES and any(_bound(item, name, args) for item in staying):
                for place in places:
                    self.meetings.setdefault(place, Meeting(name, place_of_call()))
            self._note_all(output, self._note_moving)
        else:
            self._note_all(output, lambda tensor: self._note_staying(tensor, places))
        return output

    def _note_all(self, output: Any, note: Callable[[Tensor], None]) -> None:
        for item in named_tensors(output):
            note(item.tensor)

    def _note_moving(self, tensor: Tensor) -> None:
        self._kept.append(tensor)
        self._moving.add(id(tensor))
        self._staying.pop(id(tensor), None)

    def _note_staying(self, tensor: Tensor, places: frozenset[int]) -> None:
        self._kept.append(tensor)
        if id(tensor) not in self._moving:
            self._staying[id(tensor)] = self._staying.get(id(tensor), frozenset()) | places


def _name(func: Callable[..., Any]) -> str:
    """Return "add" for a function, "device" for what reads that attribute."""
    name = getattr(func, "__name__", "")
    owner = getattr(func, "__self__", None)
    return getattr(owner, "__name__", name) if name == "__get__" else name


def _is_move(name: str, args: Any, kwargs: Any) -> bool:
    if name not in _MOVES:
        return False
    where = [*args[1:], *kwargs.values()]
    if name == "to":
        return any(isinstance(item, str | torch.device | Tensor | int) for item in where)
    return name not in {"tensor", "as_tensor"} or kwargs.get("device") is not None


def _bound(tensor: Tensor, name: str, args: Any) -> bool:
    """Tell whether the call needs this tensor where the others are."""
    if tensor.dim() == 0:
        return False
    return not (name == "__getitem__" and tensor is not args[0])
