"""NUM005 nan-output-at-degenerate."""

from collections.abc import Iterator

import torch

from layerwright.contract.evidence.degenerate import degenerate_inputs
from layerwright.contract.evidence.precision import culprit, is_finite
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import Place
from layerwright.contract.torch_compat.dispatch import OpCall, OpRecorder
from layerwright.contract.trees import Inputs, is_float, named_tensors


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
    tried only where the example surrounds zero. Of the example itself only NaN is reported, as
    infinity may be meant, and only where no operator makes it of the input itself: the logarithm
    of a negative example says that the example is wrong.
    """
    if not is_finite(probe.eval_output):
        if not _new_nan(probe):
            probe.skip("its output on the example inputs is not finite")
        yield _finding(
            probe, probe.inputs(), "the example inputs", "no NaN: inputs and state are finite"
        )
        return
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
        words = "a finite output, as on the example inputs"
        yield _finding(probe, degenerate.inputs, degenerate.words, words)
        return
    if not tried:
        probe.skip("no zero, constant or equal input lies in its domain")


def _first(probe: Probe, inputs: Inputs) -> OpCall | None:
    """Return the operator that brings in what is not finite."""
    recorder, layer = OpRecorder(), probe.layer()
    with torch.no_grad(), recorder:
        probe.call(layer, inputs)
    return culprit(recorder.calls)


def _finding(probe: Probe, inputs: Inputs, words: str, expected: str) -> Finding:
    call = _first(probe, inputs.clone())
    at = f", first at {call.name}" if call else ""
    place = call.place if call else Place()
    return Finding(
        where=f"forward, {words}",
        expected=expected,
        found=f"NaN or infinity in the output{at}",
        fix="add an eps to the divisor or to the logarithm's input",
        file=place.file,
        line=place.line,
    )


def _new_nan(probe: Probe) -> bool:
    """Tell whether finite inputs and finite state give NaN, and not because the input is no domain.

    An operator that gets the input itself and answers NaN was fed with the wrong example.
    """
    state = [*probe.layer().parameters(), *probe.layer().buffers()]
    inputs = probe.inputs()
    given = [item.tensor for item in inputs.tensors()]
    outputs = [item.tensor for item in named_tensors(probe.eval_output) if is_float(item.tensor)]
    if any(item.layout != torch.strided for item in (*given, *outputs)):
        return False
    if not is_finite([*state, *given]) or not any(bool(item.isnan().any()) for item in outputs):
        return False
    call = _first(probe, inputs)
    memory = {item.untyped_storage().data_ptr() for item in given}
    return call is not None and memory.isdisjoint(
        item.untyped_storage().data_ptr() for item in call.tensors_in
    )
