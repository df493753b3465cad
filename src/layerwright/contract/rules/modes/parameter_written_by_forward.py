"""MOD004 parameter-written-by-forward."""

from collections.abc import Iterator

import torch

from layerwright.contract.evidence.layer_state import (
    Part,
    changes,
    parameters_of,
    place_of_write,
)
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "MOD004",
    "parameter-written-by-forward",
    promise="a forward pass does not change a parameter each time it runs",
    family="modes",
    excused_by=("stateful",),
    explains=(
        "PUR004", "PUR005", "PUR010", "MOD002", "MOD003", "MOD005", "MOD006", "GRD001", "GRD002",
        "GRD005", "GRD012", "CMP002", "CMP003", "CMP008", "BAT001", "TRN006", "SER004", "DST002",
    ),
    since="0.1",
)  # fmt: skip
def parameter_written_by_forward(probe: Probe) -> Iterator[Finding]:
    """Calls the layer three times with the same inputs and compares its parameters.

    ## Why is this bad
    Only the optimizer should move a parameter. Noise or decay that forward writes into a weight
    adds up: with every call, in validation too, the layer is another one.

    ## Bad
    ```python
    class NoisyLinear(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3))

        def forward(self, x):
            self.weight.data += 0.01 * torch.randn_like(self.weight)
            return x @ self.weight


    case = Case(NoisyLinear, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class NoisyLinear(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3))

        def forward(self, x):
            if not self.training:
                return x @ self.weight
            return x @ (self.weight + 0.01 * torch.randn_like(self.weight))


    case = Case(NoisyLinear, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Compute with a new tensor: `self.weight + noise`. Clip or decay weights after the optimizer's
    step, not in forward.

    ## Limits
    A write that changes nothing the second time, such as a projection onto a norm (`max_norm` of
    an embedding) or an initialisation from the first batch, is not reported; nor is a parameter
    without `requires_grad` that is updated in training mode, as momentum encoders are.
    """
    for training in (False, True):
        layer = probe.layer(training=training)
        states = []
        # With gradients in training mode: a write that autograd refuses is for MOD008 to tell.
        with torch.set_grad_enabled(training):
            for _ in range(3):
                if probe.attempt(lambda layer=layer: probe.call(layer)).raised:  # type: ignore[misc]
                    break
                states.append(parameters_of(layer))
        if len(states) < 3:
            continue
        written = changes(states[1], states[2])
        if training:
            written = {
                name: words
                for name, words in written.items()
                if dict(layer.named_parameters())[name].requires_grad
            }
        found = {name: words for name, words in written.items() if name in changes(*states[:2])}
        for name, words in list(found.items())[:3]:
            part: Part = states[2][name]
            parameter = dict(layer.named_parameters())[name]
            place = place_of_write(probe, layer, parameter)
            place = place if place.file else part.place
            yield Finding(
                where=name,
                expected="the same values after a forward pass as before",
                found=f"{words}, after the third call in {'training' if training else 'eval'} mode",
                fix="compute with a new tensor, such as self.weight + noise; write in no forward",
                file=place.file,
                line=place.line,
            )
        if found:
            return
