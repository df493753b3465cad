"""Which dimension samples lie along: found by leaving a sample out, never assumed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from layerwright.contract.comparing import difference
from layerwright.contract.rule import LayerRaised
from layerwright.contract.trees import Inputs, is_float, named_tensors

if TYPE_CHECKING:
    from layerwright.contract.probe import Probe

# Kernels round otherwise for another batch size; relative to the largest value.
SAME = 1e-4


@dataclass(frozen=True)
class Batch:
    """How samples lie in inputs and outputs.

    Attributes:
        dim: the dimension of the inputs that samples lie along.
        size: the number of samples of `inputs`, at least three.
        inputs: the example inputs, enlarged if they hold fewer samples.
        batched: names of the inputs that have samples; the others are the same for all samples.
        output_dims: for each tensor of the output, in order, the dimension of its samples.
    """

    dim: int
    size: int
    inputs: Inputs
    batched: tuple[str, ...]
    output_dims: tuple[int, ...] = ()

    def take(self, inputs: Inputs, samples: Sequence[int]) -> Inputs:
        """Return inputs with these samples only, in this order; fresh memory."""
        index = torch.tensor(samples, dtype=torch.long)
        tensors = {id(item.tensor) for item in inputs.tensors() if item.name in self.batched}
        return inputs.map(
            lambda tensor: (
                tensor.index_select(self.dim, index.to(tensor.device))
                if id(tensor) in tensors
                else tensor.clone()
            )
        )

    def take_output(self, output: object, samples: Sequence[int]) -> list[Tensor]:
        """Return what each tensor of `output` holds of these samples."""
        index = torch.tensor(samples, dtype=torch.long)
        return [
            item.tensor.index_select(dim, index.to(item.tensor.device))
            for item, dim in zip(named_tensors(output), self.output_dims, strict=True)
        ]


def find_batch(probe: "Probe") -> Batch | None:
    """Return how samples lie, or None if no dimension has independent samples in eval mode.

    A dimension is the batch if leaving samples out, or reordering them, does the same to the
    output and nothing else. Dimension 0 is tried first.
    """
    declared = probe.traits.batch_dim
    if declared is None:
        return None
    dims = [declared] if isinstance(declared, int) else [0, 1]
    inputs = probe.inputs()
    candidates = [batch for dim in dims for batch in _candidates(inputs, dim)]
    # Samples that lie along all inputs before samples that lie along some: queries of an attention
    # layer are independent of each other too.
    for batch in sorted(candidates, key=lambda batch: -len(batch.batched)):
        found = _tried(probe, batch)
        if found is not None:
            return found
    return None


def enlarged(inputs: Inputs, dim: int, names: tuple[str, ...]) -> Inputs:
    """Return inputs of at least three different samples, made from those that are there."""
    tensors = {id(item.tensor) for item in inputs.tensors() if item.name in names}

    def more(tensor: Tensor) -> Tensor:
        if id(tensor) not in tensors:
            return tensor.clone()
        parts, size = [tensor], tensor.shape[dim]
        while size * len(parts) < 3:
            parts.append(other_samples(tensor, len(parts)))
        return torch.cat(parts, dim) if len(parts) > 1 else tensor.clone()

    return inputs.map(more)


def other_samples(tensor: Tensor, step: int) -> Tensor:
    """Return a tensor of the same shape with other samples from the same domain.

    The values come in another order, and nearer to their mean: the largest and the smallest of all
    stay where they are, in one sample.
    """
    rolled = tensor.flatten().roll(step).view(tensor.shape)
    if not tensor.is_floating_point() or len(tensor.unique()) <= 2 or not tensor.isfinite().all():
        return rolled
    return 0.9 * rolled + 0.1 * rolled.mean()


def _candidates(inputs: Inputs, dim: int) -> list[Batch]:
    tensors = [
        item
        for item in inputs.tensors()
        if item.tensor.dim() > dim and item.tensor.layout == torch.strided
    ]
    if not tensors:
        return []
    sizes = dict.fromkeys(item.tensor.shape[dim] for item in tensors if item.tensor.shape[dim])
    groups = [
        tuple(item.name for item in tensors if item.tensor.shape[dim] == size) for size in sizes
    ]
    found = []
    for names in dict.fromkeys([*groups, (tensors[0].name,)]):
        if tensors[0].tensor.shape[dim] == 0 and names[0] == tensors[0].name:
            continue
        larger = enlarged(inputs, dim, names)
        first = next(item.tensor for item in larger.tensors() if item.name == names[0])
        found.append(Batch(dim, first.shape[dim], larger, names))
    return found


def _tried(probe: "Probe", batch: Batch) -> Batch | None:
    """Return the batch with its output dimensions, if its samples are independent."""
    order, some = [*range(1, batch.size), 0], list(range(batch.size - 1))
    last = [batch.size - 1] * batch.size  # a maximum over samples lies in it, or in the others
    try:
        whole = probe.call(probe.layer(), batch.inputs.clone())
        reordered = probe.call(probe.layer(), batch.take(batch.inputs, order))
        fewer = probe.call(probe.layer(), batch.take(batch.inputs, some))
        copied = probe.call(probe.layer(), batch.take(batch.inputs, last))
    except LayerRaised:  # this dimension cannot be cut: it is not the batch
        return None
    two = probe.attempt(lambda: probe.call(probe.layer(), batch.take(batch.inputs, [0, 1])))
    dims = _output_dims(whole, fewer, batch.size)
    if not dims:
        return None
    batch = replace(batch, output_dims=dims)
    agree = all(
        difference(batch.take_output(whole, chosen), flat(answer), tolerance=SAME) is None
        for chosen, answer in ((order, reordered), (some, fewer), (last, copied))
    )
    # The last sample may matter to no maximum; without most of them, some maximum changes.
    if agree and two.raised is None:
        agree = (
            difference(batch.take_output(whole, [0, 1]), flat(two.output), tolerance=SAME) is None
        )
    return batch if agree else None


def _output_dims(whole: object, fewer: object, size: int) -> tuple[int, ...]:
    """Return the dimension of each output that shrinks with the batch; () if one has none."""
    dims = []
    pairs = zip_longest(named_tensors(whole), named_tensors(fewer))
    for one, other in pairs:
        if one is None or other is None or one.tensor.dim() != other.tensor.dim():
            return ()
        shrunk = [
            dim
            for dim, (before, after) in enumerate(
                zip(one.tensor.shape, other.tensor.shape, strict=True)
            )
            if before != after
        ]
        if len(shrunk) != 1 or one.tensor.shape[shrunk[0]] != size:
            return ()
        dims.append(shrunk[0])
    return tuple(dims)


def flat(output: object) -> list[Tensor]:
    """Return the tensors of an output as a list."""
    return [item.tensor for item in named_tensors(output)]


def history_effect(probe: "Probe", first: Inputs, second: Inputs) -> str | None:
    """Tell what a call with `first` does to a later call with `second`, in words, or None.

    The later call is compared with the same call of a fresh copy.

    Raises:
        LayerRaised: one of the calls raises on a fresh copy too.
    """
    expected = probe.call(probe.layer(), second.clone())
    layer = probe.layer()
    probe.call(layer, first.clone())
    again = probe.call(probe.layer(), second.clone())
    if difference(expected, again, tolerance=SAME):  # not by history: it is not reproducible
        return None
    later = probe.attempt(lambda: probe.call(layer, second.clone()))
    if later.raised:
        return f"it raised {later.raised.words}"
    return difference(expected, later.output, tolerance=SAME)


def answers_differ(expected: list[Tensor], actual: object) -> str | None:
    """Tell how an answer differs from the tensors that were expected, or None."""
    found = flat(actual)
    if len(expected) == len(found) == 1:
        return difference(expected[0], found[0], tolerance=SAME)
    return difference(expected, found, tolerance=SAME)


def remembers(probe: "Probe", inputs: Inputs) -> bool:
    """Tell whether a call changes what a later call of the same shapes gives, as caches do."""

    def other_values(tensor: Tensor) -> Tensor:
        if not is_float(tensor) or tensor.numel() < 2:
            return tensor.clone()
        values = tensor.flatten()
        # Reordered and drawn to one value: in the same range, with other statistics.
        return (0.5 * values.roll(1) + 0.5 * values[0]).view(tensor.shape)

    other = inputs.map(other_values)
    try:
        return any(history_effect(probe, one, other) for one in (inputs, other))
    except LayerRaised:
        return True
