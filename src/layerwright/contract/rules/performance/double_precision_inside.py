"""PRF003 double-precision-inside."""

from collections.abc import Iterator

import torch
from torch import Tensor

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.torch_compat.dispatch import OpCall
from layerwright.contract.trees import dtype_name

_DOUBLE = (torch.float64, torch.complex128)
_SINGLE = (torch.float32, torch.float16, torch.bfloat16, torch.complex64)


@rule(
    "PRF003",
    "double-precision-inside",
    promise="a layer of single precision does not compute in double precision by accident",
    family="performance",
    severity="warning",
    needs=("forward", "float_inputs", "float32"),
    explains=("DTY001", "DTY002", "DEV002"),
    since="0.1",
)
def double_precision_inside(probe: Probe) -> Iterator[Finding]:
    """Watches operators that get tensors of single and of double precision, and return the latter.

    ## Why is this bad
    A table that NumPy made holds float64. One product with it, and all that follows is computed in
    double precision: on most GPUs 32 to 64 times slower, with twice the memory; and the next layer
    with float32 weights refuses the result.

    ## Bad
    ```python
    import numpy as np


    class Window(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("window", torch.from_numpy(np.hanning(8) + 0.1))

        def forward(self, x):
            return (x * self.window).float()


    case = Case(Window, inputs=(torch.randn(4, 8),))
    ```

    ## Good
    ```python
    import numpy as np


    class Window(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("window", torch.from_numpy(np.hanning(8) + 0.1).float())

        def forward(self, x):
            return x * self.window


    case = Case(Window, inputs=(torch.randn(4, 8),))
    ```

    ## How to fix
    Convert where the tensor is made: `torch.from_numpy(table).float()`, or `.to(x.dtype)` before
    the first operator.

    ## Limits
    Double precision that the code asks for in forward, by `.double()` or `dtype=torch.float64`, is
    a choice and passes; so do sums into a tensor of double precision.
    """
    chosen: set[int] = set()  # ids of tensors; the recorded calls keep them alive
    for call in probe.ops:
        out = [tensor for tensor in call.tensors_out if tensor.dtype in _DOUBLE]
        if not out:
            continue
        doubles = [item for item in call.tensors_in if item.dtype in _DOUBLE and item.dim()]
        asked = call.kwargs.get("dtype") in _DOUBLE and not doubles
        if asked or (doubles and any(id(item) in chosen for item in doubles)):
            chosen |= {id(item) for item in out}
            continue
        singles = [item for item in call.tensors_in if item.dtype in _SINGLE and item.dim()]
        if not doubles or not singles or _in_place(call):
            continue
        yield _finding(call, singles[0], doubles[0], out[0])
        return


def _in_place(call: OpCall) -> bool:
    return call.name.split(".")[0].endswith("_")


def _finding(call: OpCall, single: Tensor, double: Tensor, out: Tensor) -> Finding:
    return Finding(
        where="forward",
        expected=f"{dtype_name(single.dtype)}, as inputs and parameters are",
        found=(
            f"{call.name.split('::')[-1]} of {dtype_name(single.dtype)} {tuple(single.shape)} and "
            f"{dtype_name(double.dtype)} {tuple(double.shape)} returns {dtype_name(out.dtype)}"
        ),
        fix="convert the float64 tensor where it is made: .float(), or .to(x.dtype)",
        file=call.place.file,
        line=call.place.line,
    )
