"""BAT003 batch-size-baked-in."""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from layerwright.contract.batch import Batch, history_effect, remembers
from layerwright.contract.comparing import difference
from layerwright.contract.evidence.attributes import held_outside
from layerwright.contract.evidence.axes import changed_at, owners, resized
from layerwright.contract.evidence.sample_counts import with_what_follows
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Attempt, Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import Place
from layerwright.contract.trees import Inputs, is_float, named_tensors


@rule(
    "BAT003",
    "batch-size-baked-in",
    promise="the number of samples may change from call to call",
    family="batch",
    needs=("forward", "deterministic"),
    excused_by=("stateful", "mixes_batch"),
    explains=("BAT004",),
    since="0.1",
)
def batch_size_baked_in(probe: Probe) -> Iterator[Finding]:
    """Calls the layer with other numbers of samples, at once and after a call with another number.

    A layer whose samples are independent and interchangeable for the example input, and that
    raises or keeps its output size for every other number, has the size written into it. A layer
    that works afresh and fails after a call of another size keeps something of the first call.

    ## Why is this bad
    The last batch of an epoch is smaller, validation uses another batch size, and inference feeds
    one sample.

    ## Bad
    ```python
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(12, 2)

        def forward(self, x):
            return self.linear(x.view(4, 12))


    case = Case(Flat, inputs=(torch.randn(4, 3, 4),))
    ```

    ## Good
    ```python
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(12, 2)

        def forward(self, x):
            return self.linear(x.flatten(1))


    case = Case(Flat, inputs=(torch.randn(4, 3, 4),))
    ```

    ## How to fix
    Read the size from the input in every call: `x.shape[0]`, `x.new_zeros(x.shape[0], ...)`.
    Rebuild a cache that depends on shapes when they change.

    ## Limits
    Layers that remember earlier calls on purpose (streams, caches) are skipped, and so are those
    whose first dimension may be no batch: it has parameters of its own, or its entries meet, or
    the layer takes another dimension in front of it. Arguments that follow the number of samples,
    such as a mask for each head, are changed with it before a layer is accused.
    """
    with torch.no_grad():
        batch = probe.batch
        if batch is None:
            yield from _fixed(probe)
            return
        few = batch.take(batch.inputs, [0, 1])
        words = history_effect(probe, batch.inputs, few), history_effect(probe, few, batch.inputs)
        if any(words) and remembers(probe, batch.inputs):
            probe.skip("it remembers earlier calls")
    for sizes, effect in zip(((batch.size, 2), (2, batch.size)), words, strict=True):
        if effect:
            place = probe.place()
            yield Finding(
                where="forward, called twice",
                expected=f"after a call with {sizes[0]} samples, the answer of a fresh copy for "
                f"{sizes[1]} samples",
                found=effect,
                fix="build what depends on the number of samples in each call, or rebuild it when "
                "the number changes",
                file=place.file,
                line=place.line,
            )
            return


def _fixed(probe: Probe) -> Iterator[Finding]:
    """Judge a layer for which no other number of samples works."""
    inputs = probe.inputs()
    tensors = [item for item in inputs.tensors() if item.tensor.dim()]
    if not tensors or tensors[0].tensor.dim() < 2 or tensors[0].tensor.shape[0] < 2:
        probe.skip("the example input does not hold two samples or more")
    if any(item.tensor.layout != torch.strided for item in tensors):
        probe.skip("an input is sparse")
    size = tensors[0].tensor.shape[0]
    names = tuple(item.name for item in tensors if item.tensor.shape[0] == size)
    others = [size - 1, size + 1, 2 * size]
    attempts = [_with(probe, resized(inputs, 0, names, other)) for other in others]
    if not all(_refuses(attempt, size) for attempt in attempts):
        probe.skip("no dimension with independent samples was found")
    if not _independent(probe, inputs, names, size):
        probe.skip("dimension 0 has a fixed size, and may be no batch")
    tied = [
        _with(probe, changed)
        for other in others
        for changed in with_what_follows(resized(inputs, 0, names, other), names, size, other)
    ]
    if any(not _refuses(attempt, size) for attempt in tied):
        probe.skip("another argument says the number of samples too")
    first = attempts[0]
    place = first.raised.place if first.raised else Place()
    place = place if place.file else probe.place()
    yield Finding(
        where=place.text or "forward",
        expected=f"an answer for {others[0]}, {others[1]} and {others[2]} samples, as for {size}",
        found=f"with {others[0]} samples it raised {first.raised.words}"
        if first.raised
        else f"with {others[0]} samples it still answers for {size}",
        fix="read the number of samples from the input: x.shape[0]",
        file=place.file,
        line=place.line,
    )


def _with(probe: Probe, inputs: Inputs) -> Attempt:
    return probe.attempt(lambda: probe.call(probe.layer(), inputs))


def _refuses(attempt: Attempt, size: int) -> bool:
    if attempt.raised:
        return True
    shapes = [item.tensor.shape for item in named_tensors(attempt.output)]
    return bool(shapes) and all(shape[:1] == (size,) for shape in shapes)


def _independent(probe: Probe, inputs: Inputs, names: tuple[str, ...], size: int) -> bool:
    """Whether rows are independent and interchangeable, also with other values in the layer.

    With other values: a parameter for each row, as channels have, is often the same at first.
    """
    layer = probe.layer()
    trained = _trained_buffers(probe, layer)
    if _may_keep_rows(layer, trained, size):
        return False

    def answer(given: Inputs) -> object:
        return probe.call(_disturbed(probe, trained), given)

    try:
        whole = answer(inputs.clone())
        outputs = [item.tensor for item in named_tensors(whole)]
        if not outputs or not all(is_float(one) and one.shape[:1] == (size,) for one in outputs):
            return False
        order = [*range(1, size), 0]
        index = Batch(0, size, inputs, names, (0,) * len(outputs))
        moved = answer(index.take(inputs, order))
        trails = [[item.tensor for item in named_tensors(answer(changed_at(inputs, 0, names, row)))]
                  for row in range(min(size, 8))]  # fmt: skip
    except (LayerRaised, RuntimeError):
        return False
    unlike = difference(
        index.take_output(whole, order),
        [item.tensor for item in named_tensors(moved)],
        tolerance=1e-4,
    )
    if unlike or _maps_over_another(
        answer, inputs, index.take(inputs, order), names, [whole, moved]
    ):
        return False
    for place, output in enumerate(outputs):
        trail = torch.stack([row[place] != output for row in trails])
        rows = owners(trail)
        if (
            rows is None
            or any(row not in (-1, i) for i, row in enumerate(rows))
            or not bool(trail.any())
        ):
            return False
    return True


def _maps_over_another(
    answer: Callable[[Inputs], object],
    inputs: Inputs,
    other: Inputs,
    names: tuple[str, ...],
    outputs: list[object],
) -> bool:
    """Whether two inputs side by side, in a new dimension 0, get the answers that each got alone.

    Then the dimension that was taken for the samples may be one of a single sample: the channels
    of an image without a batch.
    """
    second = {item.name: item.tensor for item in other.tensors()}
    together = inputs
    for item in inputs.tensors():
        if item.name in names:
            together = together.replaced(item.name, torch.stack([item.tensor, second[item.name]]))
    try:
        found = [item.tensor for item in named_tensors(answer(together))]
    except (LayerRaised, RuntimeError):
        return False
    pairs = zip(*(named_tensors(output) for output in outputs), strict=True)
    expected = [torch.stack([one.tensor, two.tensor]) for one, two in pairs]
    return difference(expected, found, tolerance=1e-4) is None


def _disturbed(probe: Probe, trained_buffers: set[str]) -> nn.Module:
    """Return a layer with other parameters and trained buffers, always the same."""
    layer = probe.layer()
    buffers = [item for name, item in layer.named_buffers() if name in trained_buffers]
    generator = torch.Generator().manual_seed(probe.seed)
    for tensor in [*layer.parameters(), *buffers]:
        if is_float(tensor):
            noise = torch.rand(tensor.shape, generator=generator).to(tensor)
            tensor.data.mul_(1 + 0.2 * noise).add_(0.01 * noise)
    return layer


def _may_keep_rows(layer: nn.Module, trained_buffers: set[str], size: int) -> bool:
    """Tell whether a tensor that training leaves alone may hold a value for each row.

    FractionalMaxPool2d keeps random samples for each channel. Where they decide between a few
    windows, other values need not show. A first state of zeros is the same for each row.
    """
    buffers = [item for name, item in layer.named_buffers() if name not in trained_buffers]
    own = {id(item) for item in (*layer.parameters(), *layer.buffers())}
    others = [held.value for held in held_outside(layer) if id(held.value) not in own]
    return any(
        isinstance(value, torch.Tensor)
        and size in value.shape
        and (value.layout != torch.strided or bool(value.any()))
        for value in [*buffers, *others]
    )


def _trained_buffers(probe: Probe, layer: nn.Module) -> set[str]:
    """Return the names of the saved buffers that training updates, such as running statistics."""
    trained = probe.layer(training=True)
    before = {name: buffer.clone() for name, buffer in trained.named_buffers()}
    probe.attempt(lambda: probe.call(trained))
    changed = {
        name
        for name, buffer in trained.named_buffers()
        if name not in before or not torch.equal(before[name].to_dense(), buffer.to_dense())
    }
    return changed & set(layer.state_dict())  # others are room to work in, not statistics
