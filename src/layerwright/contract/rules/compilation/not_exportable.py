"""CMP003 not-exportable."""

from collections.abc import Iterator
from typing import Any

import torch

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.compiled_pass import (
    TOLERANCE,
    amplifies,
    draws_numbers,
)
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.torch_compat.export import exported
from layerwright.contract.trees import Inputs


@rule(
    "CMP003",
    "not-exportable",
    promise="torch.export captures the layer, and the exported layer gives the same answers",
    family="compilation",
    severity="warning",
    tier="full",
    explains=("CMP004",),
    excused_by=("data_dependent_shape",),
    since="0.1",
)
def not_exportable(probe: Probe) -> Iterator[Finding]:
    """Exports a copy of the layer, and calls what was exported with other inputs.

    ## Why is this bad
    Export is the way to ONNX, to C++ and to phones. Code that needs the values of tensors in Python
    stops it there, usually on the day of the release.

    ## Bad
    ```python
    class Statistics(nn.Module):
        def forward(self, x):
            values = x.detach().numpy()
            return x - float(values.mean())


    case = Case(Statistics, inputs=(torch.randn(4, 3),), traits={"mixes_batch": True})
    ```

    ## Good
    ```python
    class Statistics(nn.Module):
        def forward(self, x):
            return x - x.detach().mean(dim=-1, keepdim=True)


    case = Case(Statistics, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Keep values in tensors: no numpy, no `.tolist()`, no `if` on values in forward; use
    `torch.where`, masks, or `torch.cond`. A layer whose work depends on values on purpose says so:
    `@lw.traits(data_dependent_shape=True)`.

    ## Limits
    Export is tried in eval mode and with `strict=False`. Only a line of the user's own code is
    reported. That the exported layer gives other answers is an error.

    ## References
    - https://github.com/pytorch/pytorch/issues/133653: export specialises
    """
    result = exported(probe.layer(), probe.inputs())
    call = result.call
    if call is None:
        if result.stopped_by != "user":
            probe.skip(f"no line of the user's own stops the export: {result.words}")
        at = f" at `{result.place.text}`" if result.place.text else ""
        yield Finding(
            where="torch.export",
            expected="the layer as one graph",
            found=f"it stops{at}: {result.words}",
            fix="keep values in tensors: no numpy, .tolist() or `if` on values in forward; use "
            "torch.where or a mask",
            file=result.place.file,
            line=result.place.line,
        )
        return
    if draws_numbers(probe, training=False) or probe.deterministic:
        return
    other = probe.other_inputs()
    with torch.no_grad():
        actual = probe.attempt(lambda: call(*other.args, **other.kwargs))
    words = None if actual.raised else _difference(probe, other, actual.output)
    if words and not amplifies(probe, other, training=False):
        yield Finding(
            where="the exported layer, output",
            expected="what the layer gives",
            found=f"on other inputs of the same shapes, {words}",
            fix="compute what depends on inputs with tensor operators: what Python computes is "
            "fixed when it is exported",
            severity="error",
            file=probe.place().file,
            line=probe.place().line,
        )


def _difference(probe: Probe, other: Inputs, actual: Any) -> str | None:
    """Tell how the exported layer's answer differs from those of the layer, or None.

    A layer has two where it asks whether gradients are recorded: in eval mode `nn.Transformer`
    computes what padding hides only if they are, and the places that are not hidden see it.
    """
    first = None
    for recorded in (False, True):
        with torch.set_grad_enabled(recorded):
            expected = probe.attempt(lambda: probe.call(probe.layer(), other.clone()))
        if expected.raised:
            return None
        words = difference(expected.output, actual, tolerance=TOLERANCE)
        if not words:
            return None
        first = first or words
    return first
