"""DTY004 eps-vanishes."""

from collections.abc import Iterator

import torch

from layerwright.contract.evidence.degenerate import degenerate_inputs
from layerwright.contract.evidence.precision import culprit_in, is_finite, run_in, why_not_castable
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "DTY004",
    "eps-vanishes",
    promise="what keeps a division finite in float32 keeps it finite in float16",
    family="dtypes",
    severity="note",
    needs=("forward", "float_inputs", "float_outputs"),
    requires=("DTY001", "DTY003"),
    explains=("NUM001", "NUM005"),
    since="0.1",
)
def eps_vanishes(probe: Probe) -> Iterator[Finding]:
    """Feeds zeros and constants, where they lie in the domain, in float32 and in float16.

    ## Why is this bad
    The smallest number of float16 is 6e-8. An eps of 1e-8 becomes zero there, and the division that
    it guards gives NaN for a padded row or an all-zero patch, in mixed precision only.

    ## Bad
    ```python
    class Direction(nn.Module):
        def forward(self, x):
            return x / (x.norm(dim=-1, keepdim=True) + 1e-8)


    case = Case(Direction, inputs=(torch.randn(3, 5),))
    ```

    ## Good
    ```python
    class Direction(nn.Module):
        def forward(self, x):
            return x / (x.norm(dim=-1, keepdim=True) + 1e-6)


    case = Case(Direction, inputs=(torch.randn(3, 5),))
    ```

    ## How to fix
    Take an eps that float16 knows (1e-6 or larger), or `torch.finfo(x.dtype).tiny`, or compute in
    float32: `x.float()`, then `.to(x.dtype)`.

    ## Limits
    Layers that are not finite at these inputs in float32 either are not judged here; see NUM005.
    What happens inside a function of torch is torch's own: `F.normalize` has an eps of 1e-12. Zeros
    are tried only if the example inputs hold values on both sides of zero, or zeros, and rows of
    equal values only if the examples are not bounded, normalised or sorted. It is a note for layers
    that are handed over in float32, and a warning for layers in float16.
    """
    reason = why_not_castable(probe.layer(), probe.inputs())
    if reason:
        probe.skip(reason)
    state = [*probe.layer().parameters(), *(item.tensor for item in probe.inputs().floats())]
    computes_in_half = any(item.dtype == torch.float16 for item in state)
    tried = 0
    for degenerate in degenerate_inputs(probe):
        wide = run_in(probe, torch.float32, degenerate.inputs)
        if wide.raised or not is_finite(wide.output):
            continue
        narrow = run_in(probe, torch.float16, degenerate.inputs)
        if narrow.raised:
            probe.skip(f"in float16 it raised {narrow.raised.words}")
        tried += 1
        if is_finite(narrow.output):
            continue
        call = culprit_in(probe, torch.float16, degenerate.inputs)
        if call is None:
            continue
        yield Finding(
            where=f"forward, {degenerate.words}",
            expected="finite numbers in float16, as in float32",
            found=f"{call.name} gives NaN or infinity in float16",
            fix="use an eps of at least 1e-6, or compute this part in float32",
            severity="warning" if computes_in_half else None,
            file=call.place.file,
            line=call.place.line,
        )
        return
    if not tried:
        probe.skip("no constant input lies in its domain")
