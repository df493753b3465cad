"""DTY002 dtype-not-preserved."""

from collections.abc import Iterator

import torch
from torch import Tensor

from layerwright.contract.evidence.precision import calls_in, run_in, why_not_castable
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import Place
from layerwright.contract.torch_compat.dispatch import OpCall
from layerwright.contract.trees import dtype_name, named_tensors

_VIEWS = (
    "aten::view",
    "aten::_unsafe_view",
    "aten::transpose.int",
    "aten::permute",
    "aten::t",
    "aten::detach",
    "aten::unsqueeze",
    "aten::squeeze.dim",
)


@rule(
    "DTY002",
    "dtype-not-preserved",
    promise="after layer.to(dtype), the output has that dtype",
    family="dtypes",
    severity="warning",
    needs=("forward", "float32", "float_inputs", "float_outputs"),
    requires=("DTY001",),
    since="0.1",
)
def dtype_not_preserved(probe: Probe) -> Iterator[Finding]:
    """Casts the layer and its inputs to float64 and to bfloat16, and looks at the output's dtype.

    ## Why is this bad
    From float64 the precision is lost without a word. From bfloat16 the rest of the network
    silently runs in float32, or the next layer raises because two dtypes meet.

    ## Bad
    ```python
    class Ramp(nn.Module):
        def forward(self, x):
            return x * torch.linspace(0.0, 1.0, x.shape[1], dtype=torch.float32, device=x.device)


    case = Case(Ramp, inputs=(torch.randn(3, 5),))
    ```

    ## Good
    ```python
    class Ramp(nn.Module):
        def forward(self, x):
            return x * torch.linspace(0.0, 1.0, x.shape[1], dtype=x.dtype, device=x.device)


    case = Case(Ramp, inputs=(torch.randn(3, 5),))
    ```

    ## How to fix
    Make tensors with `dtype=x.dtype` or `x.new_...`. After a part that runs in float32 on purpose,
    return with `.to(x.dtype)`.

    ## Limits
    The first floating-point output counts. Scalars, and outputs that the last operator casts to
    float32 explicitly, such as `logits.float()`, are left alone; so are layers without parameters
    that cast their input, such as embeddings of time.
    """
    reason = why_not_castable(probe.layer(), probe.inputs())
    if reason:
        probe.skip(reason)
    stateless = not any(True for _ in probe.layer().parameters())
    ran = 0
    for dtype in (torch.float64, torch.bfloat16):
        cast = run_in(probe, dtype)
        if cast.raised:
            continue
        ran += 1
        output = next(
            (
                item
                for item in named_tensors(cast.output)
                if item.tensor.is_floating_point() and item.tensor.dim()
            ),
            None,
        )
        if output is None or output.tensor.dtype == dtype:
            continue
        calls = calls_in(probe, dtype)
        if _cast_at_the_end(calls, output.tensor) or (stateless and _casts(calls, dtype)):
            continue
        place = _where_it_changed(calls, dtype)
        yield Finding(
            where="output" if output.name == "output" else f"output {output.name}",
            expected=f"{dtype_name(dtype)}, as the parameters and the inputs",
            found=f"{dtype_name(output.tensor.dtype)} comes out of {dtype_name(dtype)} inputs",
            fix="make constants with dtype=x.dtype, or return with .to(x.dtype)",
            file=place.file,
            line=place.line,
        )
        return
    if not ran:
        probe.skip("it runs neither in float64 nor in bfloat16")


def _cast_at_the_end(calls: list[OpCall], output: Tensor) -> bool:
    """Tell whether the output was cast explicitly, as the last thing: that is a choice."""
    makers = [
        call
        for call in calls
        if call.name not in _VIEWS
        and any(
            item.shape.numel() == output.numel() and item.dtype == output.dtype
            for item in call.tensors_out
        )
    ]
    return bool(makers) and makers[-1].name == "aten::_to_copy"


def _casts(calls: list[OpCall], dtype: torch.dtype) -> bool:
    """Tell whether forward casts numbers of this dtype explicitly."""
    return any(
        call.name == "aten::_to_copy"
        and any(item.dtype == dtype for item in call.tensors_in)
        and any(item.is_floating_point() and item.dtype != dtype for item in call.tensors_out)
        for call in calls
    )


def _where_it_changed(calls: list[OpCall], dtype: torch.dtype) -> Place:
    """Return the last line where the dtype went in and another one came out."""
    for call in reversed(calls):
        into = any(item.dtype == dtype for item in call.tensors_in)
        out = [item for item in call.tensors_out if item.is_floating_point()]
        if into and out and all(item.dtype != dtype for item in out):
            return call.place
    return Place()
