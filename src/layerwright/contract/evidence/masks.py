"""Finds the masks among the inputs by what they are, and which of their values hides a position."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from layerwright.contract.rule import LayerRaised
from layerwright.contract.trees import Inputs, Named, is_float, named_tensors

if TYPE_CHECKING:
    from layerwright.contract.probe import Probe

SAME = 1e-5


@dataclass(frozen=True)
class Mask:
    """A mask over the positions of another input.

    Attributes:
        name: of the mask.
        masked: names of the inputs that it speaks for: their leading dimensions have its shape.
        inputs: the example inputs; the mask in them holds both values in some sample.
        leaks: for each value of the mask, how much the answers at the other positions change when
            the masked input changes where the mask has this value; relative to the largest answer.
            None where all these answers are zero, and would not move whatever the layer does.
    """

    name: str
    masked: tuple[str, ...]
    inputs: Inputs
    leaks: tuple[float | None, float | None]

    @property
    def hides(self) -> int | None:
        """The value that hides a position, or None if both let something through, or both hide."""
        tight = [value for value in (0, 1) if self.leaks[value] == 0.0]
        return tight[0] if len(tight) == 1 else None

    @property
    def tensor(self) -> Tensor:
        """The mask."""
        return next(item.tensor for item in self.inputs.tensors() if item.name == self.name)


def find_masks(probe: "Probe") -> Iterator[Mask]:
    """Yield the inputs of two values that have the leading dimensions of another input."""
    inputs = probe.inputs()
    tensors = inputs.tensors()
    for item in tensors:
        if not _looks_like_mask(item.tensor):
            continue
        others = tuple(one for one in tensors if _is_masked_by(one, item))
        if not others:
            continue
        # Of a source and a target of equal length, a mask may speak for one or for both.
        groups = [(one,) for one in others] + ([others] if len(others) > 1 else [])
        try:
            found = [_mask(probe, inputs, item, group) for group in groups]
        except LayerRaised:
            continue
        yield next((mask for mask in found if mask.hides is not None), found[-1])


def hiding_argument(probe: "Probe", mask: Mask) -> str | None:
    """Return the argument that was left None and, given the mask as well, makes it hide.

    So does the mask of `nn.Transformer` for what the decoder reads of the encoder.
    """
    tensors = {item.name: item for item in mask.inputs.tensors()}
    others = tuple(tensors[name] for name in mask.masked)
    for name in _left_none(probe.layer(), mask.inputs):
        kwargs = {**mask.inputs.kwargs, name: mask.tensor.clone()}
        inputs = Inputs(mask.inputs.args, kwargs, mask.inputs.names)
        try:
            if _mask(probe, inputs, tensors[mask.name], others).hides is not None:
                return name
        except LayerRaised:
            continue
    return None


def _left_none(layer: nn.Module, inputs: Inputs) -> Iterator[str]:
    try:
        parameters = inspect.signature(layer.forward).parameters.values()
    except (TypeError, ValueError):  # written in C
        return
    positional = inputs.names[: len(inputs.args)]
    for parameter in parameters:
        given = inputs.kwargs.get(parameter.name)
        if parameter.default is None and given is None and parameter.name not in positional:
            yield parameter.name


def _mask(probe: "Probe", inputs: Inputs, item: Named, others: tuple[Named, ...]) -> Mask:
    """Measure what a mask hides of some inputs."""
    with torch.no_grad():
        leaks = (_leak(probe, inputs, item, others, 0), _leak(probe, inputs, item, others, 1))
    return Mask(item.name, tuple(one.name for one in others), inputs, leaks)


def _looks_like_mask(tensor: Tensor) -> bool:
    if tensor.dim() < 2 or tensor.is_complex() or tensor.layout != torch.strided:
        return False
    values = tensor.unique()
    return values.tolist() == [0, 1]


def _is_masked_by(item: Named, mask: Named) -> bool:
    shape = mask.tensor.shape
    if (
        item.name == mask.name
        or item.tensor.dtype == torch.bool
        or item.tensor.shape[: len(shape)] != shape
    ):
        return False
    return item.tensor.dim() == len(shape) + is_float(item.tensor)


def _leak(
    probe: "Probe", inputs: Inputs, mask: Named, others: tuple[Named, ...], value: int
) -> float | None:
    """Return how far answers elsewhere move when inputs change where the mask has this value.

    None if they are all zero, as behind a multiplication with the mask.
    """
    chosen = mask.tensor == value
    changed = inputs
    for other in others:
        values = other.tensor.flatten()
        moved = values.roll(1).view(other.tensor.shape)
        if is_float(other.tensor):
            moved = 0.5 * moved + 0.5 * values.max()
        where = chosen.view(*chosen.shape, *[1] * (other.tensor.dim() - chosen.dim()))
        changed = changed.replaced(other.name, torch.where(where, moved, other.tensor))
    before = named_tensors(probe.call(probe.layer(), inputs.clone()))
    after = named_tensors(probe.call(probe.layer(), changed.clone()))
    # A sample without any other position has no answer that should stay.
    judged = (~chosen).flatten(1).any(1)
    found, silent = 0.0, True
    for one, two in zip(before, after, strict=True):
        if not is_float(one.tensor) or one.tensor.shape != two.tensor.shape:
            continue
        gap, scale = (two.tensor - one.tensor).abs(), one.tensor.abs()
        if one.tensor.shape[: chosen.dim()] == chosen.shape:
            gap, scale = gap[~chosen], scale[~chosen]
        elif one.tensor.shape[:1] == chosen.shape[:1]:
            gap, scale = gap[judged], scale[judged]
        if gap.numel():
            gap = gap.nan_to_num(0.0, 0.0, 0.0)
            scale = scale.nan_to_num(0.0, 0.0, 0.0)
            silent = silent and not bool(gap.any()) and not bool(scale.any())
            found = max(found, float(gap.max()) / max(float(scale.max()), 1e-12))
    if silent:
        return None
    return found if found > SAME else 0.0
