"""TRN006 second-step-fails."""

from collections.abc import Iterator

import torch
from torch import nn

from layerwright.contract.finding import Finding
from layerwright.contract.gradients import projection
from layerwright.contract.probe import Attempt, Probe
from layerwright.contract.rule import LayerRaised, Skip, rule
from layerwright.contract.trees import Inputs

_STEPS = 3


@rule(
    "TRN006",
    "second-step-fails",
    promise="training steps can follow each other",
    family="training",
    needs=("train_forward", "backward", "parameters"),
    explains=("SER002", "SER005", "DST001", "CMP002"),
    since="0.1",
)
def second_step_fails(probe: Probe) -> Iterator[Finding]:
    """Makes three training steps with one layer: forward, backward, update.

    ## Why is this bad
    A graph that survives its step, in a buffer, a closure or a list, is gone when the
    second backward pass walks it. The first step of a debugging session works.

    ## Bad
    ```python
    class RunningCenter(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.rand(3) + 0.5)
            self.register_buffer("mean", torch.zeros(3))

        def forward(self, x):
            x = x * self.scale
            if self.training:
                self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
            return x - self.mean


    case = Case(RunningCenter, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class RunningCenter(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.rand(3) + 0.5)
            self.register_buffer("mean", torch.zeros(3))

        def forward(self, x):
            x = x * self.scale
            if self.training:
                self.mean = 0.9 * self.mean + 0.1 * x.detach().mean(0)
            return x - self.mean


    case = Case(RunningCenter, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Compute in forward what derives from parameters, and `.detach()` what is carried from one call
    to the next.

    ## Limits
    All steps take the same inputs, so that a fault of the second lies in what the first left.
    """
    layer, inputs = probe.layer(training=True), probe.inputs()
    first = _step(probe, layer, inputs)
    if first.raised is not None:
        probe.skip(f"the first step already raises {first.raised.words}")
    for count in range(2, _STEPS + 1):
        attempt = _step(probe, layer, probe.inputs())
        if attempt.raised is None:
            continue
        raised = attempt.raised
        place = raised.place if raised.place.file else probe.place()
        yield Finding(
            where=f"training step {count}",
            expected=f"{_STEPS} steps in a row, as the first one",
            found=f"step {count} raised {raised.words}",
            fix="compute in forward what derives from parameters; detach() what one call leaves to "
            "the next",
            file=place.file,
            line=place.line,
        )
        return


def _step(probe: Probe, layer: nn.Module, inputs: Inputs) -> Attempt:
    """Make one step of gradient descent, too small to matter."""

    def run() -> None:
        loss = projection(probe.call(layer, inputs), probe.seed)
        if loss is None:
            raise Skip("no output requires gradients")
        layer.zero_grad(set_to_none=True)
        try:
            loss.backward()
        except Exception as error:
            raise LayerRaised(error) from error
        with torch.no_grad():
            for item in layer.parameters():
                if item.grad is not None and not item.grad.is_sparse:
                    item.sub_(1e-4 * item.grad.nan_to_num())

    return probe.attempt(run)
