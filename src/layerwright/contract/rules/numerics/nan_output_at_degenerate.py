"""NUM005 nan-output-at-degenerate."""

from collections.abc import Iterator

import torch

from layerwright.contract.evidence.degenerate import degenerate_inputs
from layerwright.contract.evidence.precision import culprit, is_finite
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import Place
from layerwright.contract.torch_compat.dispatch import OpRecorder


@rule(
    "NUM005",
    "nan-output-at-degenerate",
    promise="the output is finite for zeros and constants that lie in the domain",
    family="numerics",
    severity="warning",
    needs=("forward", "float_inputs", "float_outputs"),
    since="0.1",
)
def nan_output_at_degenerate(probe: Probe) -> Iterator[Finding]:
    """Calls the layer on zeros, on a constant, and on two equal inputs, in eval mode.

    ## Why is this bad
    A padded row, a dead channel or a silent recording is all zero or constant. A division by its
    norm or by its standard deviation is 0 / 0, and the NaN spreads from there.

    ## Bad
    ```python
    class Direction(nn.Module):
        def forward(self, x):
            return x / x.norm(dim=-1, keepdim=True)


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
    Add an eps to what you divide by, or use `nn.functional.normalize`, `nn.LayerNorm` and their
    like. Give the logarithm an eps, or clamp its input.

    ## Limits
    Inputs whose examples are bounded, normalised, sorted or whole are left alone, and zeros are
    tried only where the example surrounds zero.
    """
    if not is_finite(probe.eval_output):
        probe.skip("its output on the example inputs is not finite")
    tried = 0
    for degenerate in degenerate_inputs(probe):
        with torch.no_grad():
            attempt = probe.attempt(
                lambda given=degenerate.inputs: probe.call(probe.layer(), given.clone())  # type: ignore[misc]
            )
        if attempt.raised:
            continue
        tried += 1
        if is_finite(attempt.output):
            continue
        recorder, layer = OpRecorder(), probe.layer()
        with torch.no_grad(), recorder:
            probe.call(layer, degenerate.inputs.clone())
        call = culprit(recorder.calls)
        at = f", first at {call.name}" if call else ""
        place = call.place if call else Place()
        yield Finding(
            where=f"forward, {degenerate.words}",
            expected="a finite output, as on the example inputs",
            found=f"NaN or infinity in the output{at}",
            fix="add an eps to the divisor or to the logarithm's input",
            file=place.file,
            line=place.line,
        )
        return
    if not tried:
        probe.skip("no zero, constant or equal input lies in its domain")
