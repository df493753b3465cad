"""Inputs and outputs that are trees: tensors inside tuples, lists, dicts and dataclasses."""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Named(NamedTuple):
    """A tensor and the path to it, such as "mask" or "hidden[1]"."""

    name: str
    tensor: Tensor


def named_tensors(value: Any, name: str = "") -> Iterator[Named]:
    """Yield each tensor of a tree with its path, depth first."""
    if isinstance(value, Tensor):
        yield Named(name or "output", value)
    elif is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            yield from named_tensors(getattr(value, item.name, None), f"{name}.{item.name}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from named_tensors(item, f"{name}[{key!r}]")
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        for key in value._fields:
            yield from named_tensors(getattr(value, key), f"{name}.{key}")
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from named_tensors(item, f"{name}[{place}]")


def map_tensors(value: Any, change: Callable[[Tensor], Any]) -> Any:
    """Return the tree with `change` applied to each tensor; everything else stays the same."""
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        new: Any = copy(value)
        if isinstance(new, dict):  # dataclasses that are dicts too, as model outputs are
            dict.update(new, {key: map_tensors(item, change) for key, item in new.items()})
        for item in fields(value):
            object.__setattr__(new, item.name, map_tensors(getattr(value, item.name, None), change))
        return new
    if isinstance(value, Mapping):
        changed = {key: map_tensors(item, change) for key, item in value.items()}
        return changed if type(value) is dict else _like(value, changed)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_tensors(item, change) for item in value))
    if isinstance(value, list | tuple):
        items = [map_tensors(item, change) for item in value]
        return items if type(value) is list else _like(value, items)
    return value


def _like(value: Any, content: Any) -> Any:
    try:
        return type(value)(content)
    except TypeError:  # a container with a constructor of its own stays as it is
        return value


@dataclass(frozen=True)
class Inputs:
    """The arguments of one forward call.

    Attributes:
        args: positional arguments; trees of tensors and other values.
        kwargs: keyword arguments.
        names: names of the positional arguments, as forward declares them.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()

    def tensors(self) -> list[Named]:
        """Return all tensors with their names, in the order of the call."""
        found: list[Named] = []
        for place, value in enumerate(self.args):
            name = self.names[place] if place < len(self.names) else f"input {place}"
            found.extend(named_tensors(value, name))
        for name, value in self.kwargs.items():
            found.extend(named_tensors(value, name))
        return found

    def floats(self) -> list[Named]:
        """Return the floating-point and complex tensors."""
        return [item for item in self.tensors() if is_float(item.tensor)]

    def map(self, change: Callable[[Tensor], Any]) -> "Inputs":
        """Return inputs with `change` applied to each tensor."""
        return Inputs(
            map_tensors(self.args, change), map_tensors(dict(self.kwargs), change), self.names
        )

    def map_floats(self, change: Callable[[Tensor], Any]) -> "Inputs":
        """Return inputs with `change` applied to each floating-point tensor."""
        return self.map(lambda tensor: change(tensor) if is_float(tensor) else tensor)

    def replaced(self, name: str, new: Tensor) -> "Inputs":
        """Return inputs with the tensor of this name replaced."""
        old = next(item.tensor for item in self.tensors() if item.name == name)
        return self.map(lambda tensor: new if tensor is old else tensor)

    def clone(self) -> "Inputs":
        """Return inputs that share no memory with these; strides and requires_grad are kept."""
        return self.map(_clone)

    def to(self, dtype: torch.dtype) -> "Inputs":
        """Return inputs with the real floating-point tensors in this dtype."""
        return self.map(lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)

    def requiring_grad(self) -> "Inputs":
        """Return clones whose floating-point tensors are leaves that collect gradients."""
        return self.map_floats(lambda tensor: _clone(tensor.detach()).requires_grad_()).map(
            lambda tensor: tensor if is_float(tensor) else _clone(tensor)
        )

    def described(self) -> tuple[str, ...]:
        """Return each input in words, such as "x: (2, 3) float32"."""
        return tuple(
            f"{item.name}: {tuple(item.tensor.shape)} {dtype_name(item.tensor.dtype)}"
            for item in self.tensors()
        )


def is_float(tensor: Tensor) -> bool:
    """Tell whether a tensor can carry gradients."""
    return tensor.is_floating_point() or tensor.is_complex()


def dtype_name(dtype: torch.dtype) -> str:
    """Return "float32" for torch.float32."""
    return str(dtype).removeprefix("torch.")


def _clone(tensor: Tensor) -> Tensor:
    new = tensor.detach().clone()  # keeps the strides of dense tensors
    return new.requires_grad_(tensor.requires_grad) if is_float(new) else new
