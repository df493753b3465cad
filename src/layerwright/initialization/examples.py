"""Example inputs of a network, and others of the same kind to compare with."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from layerwright.errors import OptionError


@dataclass(frozen=True)
class ExampleInputs:
    """The arguments of one forward call.

    Attributes:
        args: positional arguments; tensors, also inside lists, tuples and dicts, and other values.
        kwargs: keyword arguments.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def tensors(self) -> list[Tensor]:
        """Return all tensors, in the order of the call."""
        return list(tensors_in((self.args, dict(self.kwargs))))

    def floats(self) -> list[Tensor]:
        """Return the tensors of real floating point."""
        return [tensor for tensor in self.tensors() if tensor.is_floating_point()]

    def map(self, change: Callable[[Tensor], Tensor]) -> "ExampleInputs":
        """Return inputs with `change` applied to each tensor."""
        return ExampleInputs(_mapped(self.args, change), _mapped(dict(self.kwargs), change))

    def others(self, seed: int) -> list["ExampleInputs"]:
        """Return inputs that differ from these in every sample, the likeliest to fit first.

        Each place of a batch gets the next sample, so that the values of a batch as a whole are
        the same ones. Of a batch of one, or of equal samples, floating-point values are drawn
        anew with the same mean and standard deviation, and whole numbers change places.
        """
        tensors = [tensor for tensor in self.tensors() if tensor.dim()]
        batch = tensors[0].shape[0] if tensors else 0
        found = []
        if batch > 1:
            shift = 1 + seed % (batch - 1)

            def rolled(tensor: Tensor) -> Tensor:
                fits = tensor.dim() and tensor.shape[0] == batch
                return tensor.roll(shift, 0) if fits else tensor.clone()

            def rolled_floats(tensor: Tensor) -> Tensor:
                return rolled(tensor) if tensor.is_floating_point() else tensor.clone()

            found = [self.map(rolled), self.map(rolled_floats)]
        generator = torch.Generator().manual_seed(seed)

        def drawn(tensor: Tensor) -> Tensor:
            if not tensor.is_floating_point() or not tensor.numel():
                return tensor.roll(1 + seed, -1) if tensor.dim() else tensor.clone()
            std = float(tensor.float().std(correction=0)) or 1.0
            noise = torch.randn(tensor.shape, generator=generator).to(tensor)
            return noise * std + tensor.mean()

        found.append(self.map(drawn))
        return [other for other in found if self._differs(other)]

    def _differs(self, other: "ExampleInputs") -> bool:
        pairs = zip(self.tensors(), other.tensors(), strict=True)
        return any(not torch.equal(one, two) for one, two in pairs)


def example_inputs_of(inputs: Any) -> ExampleInputs:
    """Read what a caller gives: a tensor, a tuple of positional arguments, a dict of named ones.

    Raises:
        OptionError: there is no tensor in it.
    """
    if isinstance(inputs, ExampleInputs):
        found = inputs
    elif isinstance(inputs, Mapping):
        found = ExampleInputs((), dict(inputs))
    else:
        found = ExampleInputs(tuple(inputs) if isinstance(inputs, tuple | list) else (inputs,))
    if not found.tensors():
        raise OptionError(
            f"inputs expected the tensors of a batch, received {type(inputs).__name__} without "
            "any. Fix: pass what forward takes, such as torch.randn(64, 3, 32, 32)."
        )
    return found


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield each tensor of a tree of lists, tuples, mappings and dataclasses, depth first."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for name in fields(value):
            yield from tensors_in(getattr(value, name.name, None))


def floats_in(value: Any) -> list[Tensor]:
    """Return the real floating-point tensors of a tree that hold values."""
    return [item for item in tensors_in(value) if item.is_floating_point() and item.numel()]


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(item, change) for item in value))
    if isinstance(value, list | tuple):
        return type(value)(_mapped(item, change) for item in value)
    if type(value) is dict:
        return {key: _mapped(item, change) for key, item in value.items()}
    return value
