"""BAT011 max-over-samples."""

from collections.abc import Iterator

import torch

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.torch_compat.dispatch import OpCall
from layerwright.contract.trees import named_tensors

# What torch returns from a reduction with indices: a named tuple of its own, for each operator.
_PAIRS = tuple(item for item in vars(torch.return_types).values() if isinstance(item, type))


@rule(
    "BAT011",
    "max-over-samples",
    promise="forward gives an answer for each sample, not the largest value over all samples",
    family="batch",
    explains=("BAT001", "BAT002", "BAT003", "BAT008", "BAT010", "GRD008", "TRN002", "DTY002"),
    excused_by=("mixes_batch",),
    since="0.1",
)
def max_over_samples(probe: Probe) -> Iterator[Finding]:
    """Looks for a maximum or minimum over dimension 0 that is returned with its indices.

    ## Why is this bad
    `torch.max(x, 0)` reads like "the larger of x and 0". It is the maximum over dimension 0, and it
    returns a pair, values and indices: the batch is gone, and the next layer refuses the pair.

    ## Bad
    ```python
    class CustomReLU(nn.Module):
        def forward(self, x):
            return torch.max(x, 0)


    case = Case(CustomReLU, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class CustomReLU(nn.Module):
        def forward(self, x):
            return torch.clamp(x, min=0)


    case = Case(CustomReLU, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    `torch.relu(x)`, `x.clamp(min=0)` or `torch.maximum(x, torch.zeros_like(x))` compare each value
    with zero. If the maximum over a dimension is meant, take the values: `x.max(dim=1).values`.

    ## Limits
    Only the pair itself is reported: a layer that returns the values alone may summarise a set.
    """
    output = probe.eval_output
    if type(output) not in _PAIRS:
        return
    floats = [item.tensor for item in probe.inputs().floats()]
    call = next((call for call in reversed(probe.ops) if _returned(call, output)), None)
    if call is None or not floats or len(call.args) < 2 or call.args[1] != 0:
        return
    source = call.args[0]
    if source.dim() == 0 or source.shape[0] != floats[0].shape[0] or source.shape[0] < 2:
        return
    shapes = [tuple(item.tensor.shape) for item in named_tensors(output)]
    place = call.place if call.place.file else probe.place()
    yield Finding(
        where="forward",
        expected=f"one answer for each of the {source.shape[0]} rows of dimension 0",
        found=f"{call.name.split('.')[0].removeprefix('aten::')} over dimension 0: from "
        f"{tuple(source.shape)} to a pair of values {shapes[0]} and indices {shapes[1]}",
        fix="torch.relu(x), x.clamp(min=0) or torch.maximum(x, torch.zeros_like(x)) to compare "
        "with 0; x.max(dim=...).values for a maximum over a dimension",
        file=place.file,
        line=place.line,
    )


def _returned(call: OpCall, output: tuple[torch.Tensor, ...]) -> bool:
    """Tell whether an operator with these shapes and a dimension gave the output."""
    given = [tuple(item.shape) for item in call.tensors_out]
    return len(given) == 2 and given == [tuple(item.shape) for item in output]
