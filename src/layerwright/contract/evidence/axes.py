"""Follows the indices of one input dimension through a forward pass, operator by operator."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from layerwright.contract.batch import other_samples
from layerwright.contract.source import Place, place_of_call
from layerwright.contract.torch_compat.dispatch import OpRecorder
from layerwright.contract.trees import Inputs, is_float, named_tensors

if TYPE_CHECKING:
    from layerwright.contract.probe import Probe

MOST_LABELS = 16
MOST_CUT = 100_000  # entries of a tensor whose own dimensions are followed
MOST_VALUES = 4_000_000  # what one pass may keep; larger layers are not followed


@dataclass(frozen=True)
class Step:
    """One operator of the pass, with trails of its tensors.

    A trail is a boolean tensor (indices, *shape of the tensor): which entries changed when an index
    of the input dimension got other values.

    Attributes:
        name: like "aten::view".
        place: the line of the user's code that called it.
        before: trails of its tensor arguments.
        after: trails of the tensors that it returned.
    """

    name: str
    place: Place
    before: tuple[Tensor, ...]
    after: tuple[Tensor, ...]

    @property
    def starts_mixing(self) -> bool:
        """Whether entries depend on two indices here, and none did in its arguments."""
        return any(map(mixed, self.after)) and not any(map(mixed, self.before))

    @property
    def is_view(self) -> bool:
        """Whether it gives the same memory another shape."""
        return self.name in {"aten::view", "aten::_unsafe_view", "aten::_reshape_alias"}

    @property
    def scrambles(self) -> bool:
        """Whether a view cuts the indices apart that lay apart before.

        A transposition by `view` does this: some rows of the new shape hold the end of one index
        and the beginning of the next. Windows, heads, groups and folded dimensions do not. Tensors
        with padding, as in the shift of relative positions, are left alone.
        """
        if not self.is_view or not self.before or not self.after:
            return False
        old, new = self.before[0], self.after[0]
        return (
            bool(old.reshape(len(old), -1).any(1).all())
            and not mixed(old)
            and not _has_padding(old)
            and not overlapping(old)
            and overlapping(new)
        )

    @property
    def cuts(self) -> bool:
        """Whether a view cuts the indices of its argument's own dimensions apart.

        It sees what `scrambles` cannot: views behind an operator in which indices met.
        """
        if not self.is_view or not self.before or not self.after:
            return False
        old, new = self.before[0], self.after[0]
        if not bool(old.any()) or _has_padding(old) or new[0].numel() > MOST_CUT:
            return False
        return any(overlapping(trail) for trail in _own_trails(old.shape[1:], new.shape[1:]))


@dataclass(frozen=True)
class Followed:
    """The steps of a pass, and the trails of its outputs, in order."""

    steps: tuple[Step, ...]
    outputs: tuple[Tensor, ...]


def follow(probe: "Probe", inputs: Inputs, dim: int, names: tuple[str, ...]) -> Followed | None:
    """Follow the indices of dimension `dim` of the named inputs through the layer, in eval mode.

    Returns:
        None when the pass depends on the values (other operators ran), has too many indices, or
        keeps too much memory.

    Raises:
        LayerRaised: the layer raised on these inputs.
    """
    size = next(item.tensor.shape[dim] for item in inputs.tensors() if item.name == names[0])
    if not 2 <= size <= MOST_LABELS:
        return None
    base = _pass(probe, inputs.clone())
    if base is None:
        return None
    changed = []
    for index in range(size):
        other = _pass(probe, changed_at(inputs, dim, names, index))
        if other is None or not _alike(base, other):
            return None
        changed.append(other)
    steps = tuple(
        Step(
            record.name,
            record.place,
            _trails(record.before, [one.records[place].before for one in changed]),
            _trails(record.after, [one.records[place].after for one in changed]),
        )
        for place, record in enumerate(base.records)
    )
    return Followed(steps, _trails(base.outputs, [one.outputs for one in changed]))


def changed_at(inputs: Inputs, dim: int, names: tuple[str, ...], index: int) -> Inputs:
    """Return inputs with other values at one index; they are values of the same tensor."""
    named = {id(item.tensor) for item in inputs.tensors() if item.name in names}

    def change(tensor: Tensor) -> Tensor:
        if id(tensor) not in named:
            return tensor.clone()
        new = tensor.clone()
        part = new.select(dim, index)
        part.copy_(_other_values(tensor, part, dim, index))
        return new

    return inputs.map(change)


def resized(inputs: Inputs, dim: int, names: tuple[str, ...], size: int) -> Inputs:
    """Return inputs whose dimension `dim` has another size, with values of the same domain."""
    named = {id(item.tensor) for item in inputs.tensors() if item.name in names}

    def resize(tensor: Tensor) -> Tensor:
        if id(tensor) not in named:
            return tensor.clone()
        parts = [tensor]
        while sum(part.shape[dim] for part in parts) < size:
            parts.append(other_samples(tensor, len(parts)))
        return torch.cat(parts, dim).narrow(dim, 0, size).clone()

    return inputs.map(resize)


def mixed(trail: Tensor) -> bool:
    """Whether an entry depends on two indices."""
    return bool((trail.sum(0) > 1).any())


def shadows(trail: Tensor) -> list[Tensor]:
    """Return, for each dimension of the tensor, (indices, size): where each index shows up."""
    dims = range(1, trail.dim())
    others = [tuple(other for other in dims if other != dim) for dim in dims]
    return [trail.any(dim=rest) if rest else trail for rest in others]


def overlapping(trail: Tensor) -> bool:
    """Whether the boxes around two indices overlap."""
    count = trail.shape[0]
    together = torch.ones(count, count, dtype=torch.bool)
    for shadow in shadows(trail):
        part = shadow.float()
        together &= (part @ part.T) > 0
    together &= ~torch.eye(count, dtype=torch.bool)
    return bool(together.any())


def owners(trail: Tensor, dim: int = 0) -> list[int] | None:
    """Return, for each row of a dimension, the one index that it depends on; -1 for none.

    None if a row depends on two.
    """
    if trail.dim() < dim + 2:
        return None
    shadow = shadows(trail)[dim]
    if bool((shadow.sum(0) > 1).any()):
        return None
    found = shadow.long().argmax(0)
    return [int(one) if bool(shadow[:, row].any()) else -1 for row, one in enumerate(found)]


def _has_padding(trail: Tensor) -> bool:
    """Whether a whole slice of the tensor depends on no index."""
    return any(not bool(shadow.any(0).all()) for shadow in shadows(trail))


def _own_trails(old: torch.Size, new: torch.Size) -> Iterator[Tensor]:
    """Yield, for each dimension of a tensor, where its first indices lie in the new shape."""
    place = torch.arange(old.numel())
    stride = old.numel()
    for size in old:
        stride //= size
        index = place // stride % size
        yield torch.stack([index == one for one in range(min(size, MOST_LABELS))]).view(-1, *new)


@dataclass(frozen=True)
class _Record:
    name: str
    place: Place
    before: tuple[Tensor, ...]
    after: tuple[Tensor, ...]


@dataclass(frozen=True)
class _Pass:
    records: list[_Record]
    outputs: tuple[Tensor, ...]


class _Snapshots(OpRecorder):
    """Keeps the values of each operator as they were: what works in place changes them later."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.records: list[_Record] = []
        self.kept = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = self._copies((args, kwargs or {}))
        output = super().__torch_dispatch__(func, types, args, kwargs)
        call = self.calls.pop()
        place = place_of_call()  # not the recorder's: torch wraps it, and it would see this file
        self.records.append(_Record(call.name, place, before, self._copies(output)))
        return output

    def _copies(self, tree: Any) -> tuple[Tensor, ...]:
        if self.kept > MOST_VALUES:
            return ()
        found = [item.tensor for item in named_tensors(tree) if _comparable(item.tensor)]
        self.kept += sum(tensor.numel() for tensor in found)
        return tuple(tensor.detach().clone() for tensor in found)


def _pass(probe: "Probe", inputs: Inputs) -> _Pass | None:
    layer, recorder = probe.layer(), _Snapshots(with_places=False)
    with torch.no_grad(), recorder:
        output = probe.call(layer, inputs)
    if recorder.kept > MOST_VALUES:
        return None
    outputs = [item.tensor for item in named_tensors(output) if _comparable(item.tensor)]
    return _Pass(recorder.records, tuple(tensor.detach() for tensor in outputs))


def _comparable(tensor: Tensor) -> bool:
    return is_float(tensor) and tensor.layout == torch.strided and not tensor.is_meta


def _alike(one: _Pass, other: _Pass) -> bool:
    def outline(run: _Pass) -> list[Any]:
        return [
            (item.name, [x.shape for x in item.before], [x.shape for x in item.after])
            for item in run.records
        ] + [tensor.shape for tensor in run.outputs]

    return outline(one) == outline(other)


def _trails(base: tuple[Tensor, ...], changed: list[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return tuple(
        torch.stack([_differs(tensor, other[place]) for other in changed])
        for place, tensor in enumerate(base)
    )


def _differs(one: Tensor, other: Tensor) -> Tensor:
    return (one != other) & ~(one.isnan() & other.isnan())


def _other_values(tensor: Tensor, part: Tensor, dim: int, index: int) -> Tensor:
    """Return values of the tensor in another order, different from `part` wherever possible."""
    if tensor.dtype == torch.bool:
        return ~part
    size = tensor.shape[dim]
    rolled = tensor.select(dim, (index + 1) % size)
    rolled = rolled.flatten().roll(1).view(part.shape) if rolled.numel() > 1 else rolled
    if not is_float(tensor):
        return rolled
    mean = (
        tensor[tensor.isfinite()].mean()
        if bool(tensor.isfinite().any())
        else tensor.new_tensor(0.5)
    )
    # Half way to another value stays in the range, and differs even where two values are equal.
    return torch.where(rolled == part, 0.5 * (rolled + mean), 0.5 * rolled + 0.25 * (part + mean))
