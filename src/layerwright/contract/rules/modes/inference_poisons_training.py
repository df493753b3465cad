"""MOD005 inference-poisons-training."""

from collections.abc import Iterator

import torch

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.attributes import held_outside
from layerwright.contract.evidence.layer_state import remembers
from layerwright.contract.finding import Finding
from layerwright.contract.gradients import Gradients
from layerwright.contract.probe import Attempt, Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute


@rule(
    "MOD005",
    "inference-poisons-training",
    promise="a call without gradients leaves later training as it was",
    family="modes",
    needs=("backward", "deterministic"),
    excused_by=("stateful",),
    since="0.1",
)
def inference_poisons_training(probe: Probe) -> Iterator[Finding]:
    """Trains one step after a call under `no_grad`, and after one under `inference_mode`.

    ## Why is this bad
    A tensor that is computed once and kept has no graph if the first call was an evaluation.
    Training then raises "Inference tensors cannot be saved for backward", or a parameter silently
    gets no gradient any more.

    ## Bad
    ```python
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.table = None

        def forward(self, x):
            if self.table is None:
                self.table = torch.arange(3.0, device=x.device) + 1
            return x * self.scale * self.table


    case = Case(Positions, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.register_buffer("table", torch.arange(3.0) + 1, persistent=False)

        def forward(self, x):
            return x * self.scale * self.table


    case = Case(Positions, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Compute constant tables in the constructor and register them as buffers. What depends on a
    parameter is computed in each call, or kept only while `torch.is_grad_enabled()` says so.

    ## Limits
    Layers whose answers in eval mode depend on earlier calls are skipped. A step that only
    `inference_mode` makes raise is a warning: a layer that is evaluated under `no_grad` is safe.

    ## References
    - https://github.com/pytorch/pytorch/issues/115774
    """
    if remembers(probe):
        probe.skip("its answers in eval mode depend on the calls before")
    untouched = probe.layer()
    untouched.train()
    reference = _step(probe, untouched)
    if reference.raised:
        probe.skip(f"after eval() and train() a training step raised {reference.raised.words}")
    expected: Gradients = reference.output
    for mode, entered in (("no_grad", torch.no_grad), ("inference_mode", torch.inference_mode)):
        layer = probe.layer()
        with entered():
            if probe.attempt(lambda layer=layer: probe.call(layer)).raised:  # type: ignore[misc]
                continue
        kept = [
            held
            for held in held_outside(layer)
            if isinstance(held.value, torch.Tensor) and not held.value.requires_grad
        ]
        layer.train()
        attempt = _step(probe, layer)
        if attempt.raised:
            words = f"it raised {attempt.raised.words}"
        else:
            words = _difference(expected, attempt.output)
        if words:
            suspects = [held for held in kept if held.value.is_inference()] or kept
            place = (
                place_of_attribute(suspects[0].module, suspects[0].attribute)
                if suspects
                else probe.place()
            )
            yield Finding(
                where=suspects[0].name if suspects else "forward and backward",
                expected=f"the training step of a layer that was not called under {mode}",
                found=f"after one call under {mode}, {words}",
                fix="compute the table in the constructor as a buffer, or anew in each call",
                # What inference_mode makes may never be trained with: no_grad is free of that.
                severity="warning" if attempt.raised and mode == "inference_mode" else None,
                file=place.file,
                line=place.line,
            )
            return


def _step(probe: Probe, layer: torch.nn.Module) -> Attempt:
    def run() -> Gradients:
        inputs = probe.inputs().requiring_grad()
        return probe.gradients_of(layer, inputs, probe.call(layer, inputs))

    return probe.attempt(run)


def _difference(expected: Gradients, actual: Gradients) -> str:
    for kind in ("inputs", "parameters"):
        for name, gradient in getattr(expected, kind).items():
            other = getattr(actual, kind).get(name)
            if gradient is None:
                continue
            if other is None:
                return f"{name} gets no gradient"
            words = difference(gradient, other, tolerance=1e-3)
            if words:
                return f"the gradient of {name} is another one: {words}"
    return ""
