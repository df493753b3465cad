"""NUM002 avoidable-overflow."""

from collections.abc import Iterator

import torch

from layerwright.contract.comparing import number
from layerwright.contract.evidence.backward_culprit import (
    attempted,
    nan_culprit,
    not_finite,
    passes,
)
from layerwright.contract.evidence.degenerate import is_unbounded, real_floats
from layerwright.contract.evidence.precision import (
    calls_in,
    culprit,
    is_finite,
    run_in,
    why_not_castable,
)
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import Skip, rule
from layerwright.contract.source import Place
from layerwright.contract.trees import Inputs, is_float, named_tensors

# 1 - sigmoid(x) is zero in float32 from 17, in float64 from 37; exp overflows float32 at 89,
# float64 at 710. Logits and residual streams of this size occur.
LARGEST = (30.0, 100.0, 400.0)

# What float64 says must fit into float32 with room: else the overflow is the true result.
FITS = 1e30


@rule(
    "NUM002",
    "avoidable-overflow",
    promise="what float32 can hold does not overflow on the way",
    family="numerics",
    severity="warning",
    needs=("forward", "float32", "float_inputs", "float_outputs"),
    requires=("DTY001", "DTY002", "NUM003"),
    since="0.1",
)
def avoidable_overflow(probe: Probe) -> Iterator[Finding]:
    """Scales the inputs up to 30, 100, 400, and compares a training step with that in float64.

    ## Why is this bad
    `exp` overflows float32 at 89. A softplus, a softmax or a logsumexp that is written as in the
    textbook gives infinity or NaN there, although its true value is an ordinary number.

    ## Bad
    ```python
    class Softplus(nn.Module):
        def forward(self, x):
            return torch.log(1.0 + torch.exp(x))


    case = Case(Softplus, inputs=(2.0 * torch.randn(5, 6),))
    ```

    ## Good
    ```python
    class Softplus(nn.Module):
        def forward(self, x):
            return F.softplus(x)


    case = Case(Softplus, inputs=(2.0 * torch.randn(5, 6),))
    ```

    ## How to fix
    Use `F.softplus`, `torch.softmax`, `torch.logsumexp`, `torch.sigmoid`, `torch.hypot`, or
    subtract the largest value before `exp`.

    ## Limits
    Layers whose true result overflows as well, such as `exp` itself, are left alone: float64 tells.
    `nn.SoftMarginLoss` is reported: it takes the logarithm of one plus an exponential, and gives
    infinity where the loss is about 100. Inputs whose examples are bounded, of one sign,
    normalised or sorted are not scaled. An overflow that a weight of zero hides in the true result
    is not judged.
    """
    reason = why_not_castable(probe.layer(), probe.inputs())
    if reason:
        probe.skip(reason)
    if not is_finite(probe.eval_output):
        probe.skip("its output on the example inputs is not finite")
    for largest in LARGEST:
        inputs = _scaled(probe, largest)
        if inputs is None:
            probe.skip("all its inputs are bounded, as the examples show")
        found = list(_overflows(probe, inputs, largest))
        if found:
            yield from found
            return


def _overflows(probe: Probe, inputs: Inputs, largest: float) -> Iterator[Finding]:
    """Demonstrate an overflow on scaled inputs."""
    narrow = run_in(probe, torch.float32, inputs)
    if narrow.raised:
        probe.skip(f"on inputs up to {largest:.0f} it raised {narrow.raised.words}")
    if not is_finite(narrow.output):
        wide = run_in(probe, torch.float64, inputs)
        if not wide.raised and _fits(wide.output) and not _hidden_by_zeros(probe, inputs):
            call = culprit(calls_in(probe, torch.float32, inputs))
            at = f", first at {call.name}" if call else ""
            yield _finding(
                "forward",
                f"NaN or infinity in float32{at}; in float64 the largest value is "
                f"{number(_largest(wide.output))}",
                call.place if call else Place(),
                largest,
            )
        return
    came = attempted(probe, inputs)
    if came is None or not is_finite(came[0]) or not not_finite(came[1]):
        return
    if not _gradients_fit(probe, inputs):
        return
    step, place = nan_culprit(lambda: passes(probe, inputs))
    yield _finding(
        "backward",
        f"NaN or infinity in the gradient of {', '.join(not_finite(came[1])[:4])}"
        + (f", first in {step}" if step else "")
        + "; finite in float64",
        place,
        largest,
    )


def _scaled(probe: Probe, largest: float) -> Inputs | None:
    """Return the inputs with all unbounded ones scaled up, or None if there are none."""
    inputs, found = probe.inputs(), False
    for item in real_floats(probe):
        if is_unbounded(item.tensor):
            values = item.tensor.detach()
            factor = largest / min(float(values.max()), -float(values.min()))
            scaled = (values * factor).clamp(-1.1 * largest, 1.1 * largest)
            inputs, found = inputs.replaced(item.name, scaled), True
    return inputs if found else None


def _gradients_fit(probe: Probe, inputs: Inputs) -> bool:
    """Tell whether a training pass in float64 gives gradients that float32 could hold."""
    layer, given = probe.layer(training=True).double(), inputs.to(torch.float64).requiring_grad()
    try:
        found = probe.gradients_of(layer, given, probe.call(layer, given))
    except Skip:
        return False
    grads = [
        grad for grad in [*found.inputs.values(), *found.parameters.values()] if grad is not None
    ]
    return _fits(grads)


def _hidden_by_zeros(probe: Probe, inputs: Inputs) -> bool:
    """Tell whether the true result fits only because a weight is zero now, as if warmed up."""
    layer = probe.layer().double()
    with torch.no_grad():
        for tensor in [*layer.parameters(), *layer.buffers()]:
            if is_float(tensor) and tensor.layout == torch.strided:
                tensor.copy_(torch.where(tensor == 0, torch.ones_like(tensor), tensor))
        attempt = probe.attempt(lambda: probe.call(layer, inputs.to(torch.float64)))
    return attempt.raised is None and not _fits(attempt.output)


def _fits(tree: object) -> bool:
    return is_finite(tree) and _largest(tree) < FITS


def _largest(tree: object) -> float:
    tensors = [item.tensor for item in named_tensors(tree) if item.tensor.is_floating_point()]
    return max((float(item.detach().abs().max()) for item in tensors if item.numel()), default=0.0)


def _finding(where: str, found: str, place: Place, largest: float) -> Finding:
    return Finding(
        where=f"{where}, inputs scaled up to {largest:.0f}",
        expected="finite numbers, as in float64",
        found=found,
        fix="use F.softplus, torch.softmax, torch.logsumexp; or subtract the largest value first",
        file=place.file,
        line=place.line,
    )
