"""How the samples of a batch meet in a forward pass: what an operator does with them."""

from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor, nn

from layerwright.contract.evidence.axes import Step, mixed, overlapping, owners, shadows
from layerwright.contract.rule import LayerRaised
from layerwright.contract.trees import Inputs, is_float, named_tensors

if TYPE_CHECKING:
    from layerwright.contract.probe import Probe

_SEQUENCES = 3  # dimensions of (samples, length, features)
PAIRS = ("add", "sub", "mul", "div", "bmm", "matmul", "cat", "stack", "maximum", "minimum")
SOFTMAX = ("_softmax", "_log_softmax")
SPREAD = ("var", "std", "var_mean", "std_mean")
REDUCTIONS = (
    *SPREAD,
    *("mean", "sum", "prod", "median", "amax", "amin", "max", "min"),
    *("norm", "linalg_vector_norm", "logsumexp"),
)


def second_dimension_lost(probe: "Probe", inputs: Inputs, name: str) -> bool:
    """Whether torch's own layers inside take dimension 1 as the batch, and the output lost it.

    Recurrent and attention layers with `batch_first=False` declare what dimension 1 of their input
    is; the layer around them feeds (samples, length, features), as they come or made of images. See
    docs/decisions/0007.
    """
    first = next(item.tensor for item in inputs.tensors() if item.name == name)
    fed = _fed(probe, inputs, first, batch_first=False)
    if fed is None:
        return False
    size, length = fed.size, fed.length
    return length not in (1, size) and all(
        shape[:1] == (size,) and length not in shape[:-1] for shape in fed.outputs
    )


def one_sample_kept(
    probe: "Probe", inputs: Inputs, name: str, outputs: tuple[Tensor, ...]
) -> int | None:
    """Return the one sample that the output is made of, all others being dropped; else None.

    Recurrent and attention layers with `batch_first=True` declare that dimension 0 of their input
    holds the samples; the layer around them selects along it, and keeps the length.

    Args:
        probe: of the layer.
        inputs: of the followed pass.
        name: of the input whose dimension 0 is judged.
        outputs: trails of the outputs of that pass.
    """
    first = next(item.tensor for item in inputs.tensors() if item.name == name)
    fed = _fed(probe, inputs, first, batch_first=True)
    if fed is None or fed.length in (1, fed.size):
        return None
    if not all(fed.length in shape for shape in fed.outputs):
        return None
    kept = {index for trail in outputs for index, part in enumerate(trail) if bool(part.any())}
    return kept.pop() if len(kept) == 1 else None


class _Fed(NamedTuple):
    """How torch's sequence layers inside were fed (size, length, features), and what came out."""

    size: int
    length: int
    outputs: list[tuple[int, ...]]


def _fed(probe: "Probe", inputs: Inputs, first: Tensor, *, batch_first: bool) -> _Fed | None:
    """Return how the sequence layers inside are fed; None if there are none, or they are otherwise.

    Dimension 0 of what they are fed is that of the input; so is dimension 1, if the input has one.
    """
    layer = probe.layer()
    inside = [m for m in layer.modules() if isinstance(m, nn.RNNBase | nn.MultiheadAttention)]
    rank = first.dim() + (not is_float(first))  # of numbers of words, each becomes features
    if not inside or inside[0] is layer or rank < _SEQUENCES:
        return None
    seen: list[tuple[int, ...]] = []

    def look(_module: nn.Module, args: tuple[object, ...]) -> None:
        if args and isinstance(args[0], Tensor):
            seen.append(tuple(args[0].shape))

    for module in inside:
        if bool(module.batch_first) == batch_first:
            module.register_forward_pre_hook(look)
    try:
        output = probe.call(layer, inputs.clone())
    except LayerRaised:
        return None
    if not seen or len(seen[0]) != _SEQUENCES:
        return None
    size, length = first.shape[0], first.shape[1] if rank == _SEQUENCES else seen[0][1]
    if any(shape[:2] != (size, length) for shape in seen):
        return None
    return _Fed(size, length, [tuple(item.tensor.shape) for item in named_tensors(output)])


def is_any(step: Step, names: tuple[str, ...]) -> bool:
    """Whether the operator is one of these, whatever its overload."""
    return step.name.split("::")[-1].split(".")[0] in names


def over_samples(step: Step, size: int) -> bool:
    """Whether one dimension of its argument holds the samples, each at one place."""
    return bool(step.before) and any(
        shadow.shape[1] == size and bool((shadow.sum(0) <= 1).all())
        for shadow in shadows(step.before[0])
    )


def appends(step: Step) -> bool:
    """Whether it puts what depends on one sample beside what depends on several."""
    if not is_any(step, ("cat", "stack")) or len(step.before) < 2:
        return False
    kinds = {mixed(trail) for trail in step.before if bool(trail.any())}
    return kinds == {False, True}


def paired_wrongly(step: Step, size: int) -> bool:
    """Whether every sample has as many rows on both sides, in another order, and rows meet."""
    if not step.after or owners(step.after[0]) is not None:
        return False
    if not is_any(step, PAIRS) or len(step.before) != 2:
        return False
    one, other = owners(step.before[0]), owners(step.before[1])
    if not one or not other or one == other or sorted(one) != sorted(other) or -1 in one:
        return False
    times = len(one) // size
    each = all(one.count(index) == times for index in range(size))
    return each and times > 1 and times % size != 0 and not overlapping(step.before[0])


def rows_kept(whole: list[Tensor], fewer: list[Tensor], size: int) -> bool:
    """Whether every output has one dimension that shrinks with the samples."""
    return bool(whole) and all(
        one.dim() == other.dim()
        and [
            (before, after)
            for before, after in zip(one.shape, other.shape, strict=True)
            if before != after
        ]
        == [(size, size - 1)]
        for one, other in zip(whole, fewer, strict=True)
    )
