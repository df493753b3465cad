"""DTY001 dtype-crash."""

from collections.abc import Iterator

import torch

from layerwright.contract.evidence.precision import is_clash, run_in, why_not_castable
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.trees import dtype_name


@rule(
    "DTY001",
    "dtype-crash",
    promise="after layer.to(dtype), forward runs in float64 and bfloat16",
    family="dtypes",
    severity="warning",
    needs=("forward", "float32"),
    explains=("DTY002", "DTY003", "DTY005"),
    since="0.1",
)
def dtype_crash(probe: Probe) -> Iterator[Finding]:
    """Casts the layer and its inputs to float64, then to bfloat16, and calls it.

    ## Why is this bad
    Gradient checks need float64, training of large networks needs bfloat16. A dtype that is
    written into forward meets the cast weights there and raises.

    ## Bad
    ```python
    class Router(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Linear(4, 3)

        def forward(self, x):
            return self.gate(x.float())


    case = Case(Router, inputs=(torch.randn(5, 4),))
    ```

    ## Good
    ```python
    class Router(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate = nn.Linear(4, 3)

        def forward(self, x):
            return self.gate(x)


    case = Case(Router, inputs=(torch.randn(5, 4),))
    ```

    ## How to fix
    Take the dtype from a tensor that is there: `x.new_zeros(...)`, `dtype=x.dtype`,
    `x.to(self.weight.dtype)`. What is computed in float32 on purpose goes back before it meets the
    weights.

    ## Limits
    Kernels that torch lacks for a dtype are not blamed on the layer. Complex layers are skipped.

    ## References
    - https://github.com/cvg/LightGlue/issues/186
    - https://github.com/romulus0914/NASBench-PyTorch/pull/5
    """
    reason = why_not_castable(probe.layer(), probe.inputs())
    if reason:
        probe.skip(reason)
    others = []
    for dtype in (torch.float64, torch.bfloat16):
        raised = run_in(probe, dtype).raised
        if raised is None:
            continue
        if not is_clash(raised):
            others.append(f"in {dtype_name(dtype)} it raised {raised.words}")
            continue
        yield Finding(
            where="forward",
            expected=f"it runs in {dtype_name(dtype)}, as it does in float32",
            found=f"layer.to({dtype_name(dtype)}) raised {raised.words}",
            fix="take the dtype from the input or the weight: dtype=x.dtype, x.new_zeros(...)",
            file=raised.place.file,
            line=raised.place.line,
        )
        return
    if len(others) == 2:
        probe.skip(others[0])
