"""DTY005 autocast-fails."""

from collections.abc import Iterator

import torch

from layerwright.contract.evidence.precision import is_clash
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "DTY005",
    "autocast-fails",
    promise="what trains in float32 trains under torch.autocast",
    family="dtypes",
    severity="warning",
    needs=("backward", "float32"),
    requires=("DTY001",),
    since="0.1",
)
def autocast_fails(probe: Probe) -> Iterator[Finding]:
    """Runs a training pass, forward and backward, under autocast to bfloat16.

    ## Why is this bad
    Under autocast a matrix product gives bfloat16 while the rest stays float32. An in-place write
    into a float32 tensor, or a `torch.autograd.Function` that multiplies what it saved, meets both
    and raises. It is an error for a Function, whose backward runs outside of autocast.

    ## Bad
    ```python
    class Scatter(nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = nn.Linear(4, 4)

        def forward(self, x):
            out = torch.zeros_like(x)
            return out.index_add(0, torch.arange(len(x), device=x.device), self.proj(x))


    case = Case(Scatter, inputs=(torch.randn(3, 4),))
    ```

    ## Good
    ```python
    class Scatter(nn.Module):
        def __init__(self):
            super().__init__()
            self.proj = nn.Linear(4, 4)

        def forward(self, x):
            values = self.proj(x)
            out = torch.zeros_like(values)
            return out.index_add(0, torch.arange(len(x), device=x.device), values)


    case = Case(Scatter, inputs=(torch.randn(3, 4),))
    ```

    ## How to fix
    Make the target in the dtype of what is written into it, or cast that. Decorate the forward of a
    Function with `torch.amp.custom_fwd(device_type=...)` and its backward with
    `torch.amp.custom_bwd(device_type=...)`.

    ## Limits
    Autocast of the CPU is used; lists of operators differ between devices. Only errors about dtypes
    count.

    ## References
    - https://github.com/pytorch/pytorch/issues/87979
    - https://github.com/pytorch/pytorch/issues/38487
    """
    stage = "forward"

    def run() -> None:
        nonlocal stage
        layer, inputs = probe.layer(training=True), probe.inputs().requiring_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = probe.call(layer, inputs)
        stage = "backward"
        probe.gradients_of(layer, inputs, output)

    raised = probe.attempt(run).raised
    if raised is None:
        return
    if not is_clash(raised):
        probe.skip(f"under autocast, {stage} raised {raised.words}")
    yield Finding(
        where=stage,
        expected="forward and backward run under torch.autocast",
        found=f"under autocast to bfloat16, {stage} raised {raised.words}",
        fix="give both tensors one dtype; decorate a Function with torch.amp.custom_fwd and _bwd",
        severity="error" if probe.functions else None,
        file=raised.place.file,
        line=raised.place.line,
    )
