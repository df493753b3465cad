"""BAT008 axis-scrambled."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from layerwright.contract.evidence.axes import Step, follow, resized
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.trees import is_float


@rule(
    "BAT008",
    "axis-scrambled",
    promise="a view splits and merges dimensions, and never cuts positions apart",
    family="batch",
    needs=("forward", "deterministic", "batch"),
    since="0.1",
)
def axis_scrambled(probe: Probe) -> Iterator[Finding]:
    """Follows each position of a sample through the forward pass, and finds a view that cuts it.

    Judged are the views that put several dimensions into several others, such as
    (batch, length, heads * size) into (batch, heads, length, size), where a `transpose` is missing.

    ## Why is this bad
    Rows of the new shape hold the end of one position and the beginning of the next: attention
    runs over pieces of tokens, a convolution over time runs over features. All shapes fit, the
    loss falls, and the network stays worse than it should be.

    ## Bad
    ```python
    class Convolution(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(6, 4, 3, padding=1)

        def forward(self, x):
            batch, length, features = x.shape
            return self.conv(x.reshape(batch, features, length))


    case = Case(Convolution, inputs=(torch.randn(3, 5, 6),))
    ```

    ## Good
    ```python
    class Convolution(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(6, 4, 3, padding=1)

        def forward(self, x):
            return self.conv(x.transpose(1, 2))


    case = Case(Convolution, inputs=(torch.randn(3, 5, 6),))
    ```

    ## How to fix
    Split with `view`, then move with `transpose` or `permute`:
    `x.view(batch, length, heads, size).transpose(1, 2)`; merge the other way round.

    ## Limits
    Views behind an operator in which positions meet, views of padded tensors (the shift of relative
    positions), and layers that accept only lengths that hide the cut are not judged.

    ## References
    - https://github.com/jsbaan/transformer-from-scratch/pull/6: all tests passed, heads were mixed
    """
    batch = probe.batch
    if batch is None or not any(
        _may_cut(call.name, call.tensors_in, call.output) for call in probe.ops
    ):
        return
    inputs = batch.take(batch.inputs, [0, 1])
    first = next(item for item in inputs.tensors() if item.name == batch.batched[0])
    last = first.tensor.dim() - is_float(first.tensor) * (first.tensor.dim() < 3)
    for dim in (dim for dim in range(last) if dim != batch.dim):
        length = first.tensor.shape[dim]
        names = tuple(
            item.name
            for item in inputs.tensors()
            if item.tensor.dim() > dim and item.tensor.shape[dim] == length
        )
        # A prime first: what divides the length may hide a cut.
        for size in dict.fromkeys([7, 5, min(length, 12), length - 1]):
            if size < 2:
                continue
            with torch.no_grad():
                try:
                    followed = follow(probe, resized(inputs, dim, names, size), dim, names)
                except (LayerRaised, RuntimeError):  # it does not accept this length
                    continue
            steps = followed.steps if followed else ()
            cut = next((step for step in steps if step.scrambles or step.cuts), None)
            if cut is not None:
                yield _finding(probe, cut, dim, first.name)
                return
            break


def _finding(probe: Probe, cut: Step, dim: int, name: str) -> Finding:
    old, new = tuple(cut.before[0].shape[1:]), tuple(cut.after[0].shape[1:])
    place = cut.place if cut.place.file else probe.place()
    return Finding(
        where=place.text or "forward",
        expected=f"positions that stay in one piece, seen along dimension {dim} of {name}",
        found=f"a view from {old} to {new} puts parts of several positions into one row",
        fix="split or merge neighbouring dimensions with view, and move dimensions with transpose "
        "or permute",
        file=place.file,
        line=place.line,
    )


def _may_cut(name: str, tensors: list[Tensor], output: object) -> bool:
    """Whether a view puts several dimensions into several others."""
    if name.rsplit("::", maxsplit=1)[-1] not in {"view", "_unsafe_view", "_reshape_alias"}:
        return False
    if not tensors or not isinstance(output, Tensor) or output.numel() == 0:
        return False
    old, new = _edges(tensors[0]), _edges(output)
    common = sorted(set(old) & set(new))
    return any(
        sum(low < edge < high for edge in old) and sum(low < edge < high for edge in new)
        for low, high in zip([1, *common], common, strict=False)
    )


def _edges(tensor: Tensor) -> list[int]:
    return [math.prod(tensor.shape[: dim + 1]) for dim in range(tensor.dim())]
