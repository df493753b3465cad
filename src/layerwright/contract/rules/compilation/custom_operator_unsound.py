"""CMP009 custom-operator-unsound."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import Place, place_of_call
from layerwright.contract.torch_compat.dispatch import OpRecorder
from layerwright.contract.trees import map_tensors, named_tensors

# Torch's own libraries of operators.
_TORCH_S = (
    "_c10d_functional", "_c10d_functional_autograd", "_dtensor", "_inductor_test", "_quantized",
    "aten", "c10d", "c10d_functional", "higher_order", "inductor", "mkl", "mkldnn",
    "mkldnn_prepacked",
    "onednn", "prepacked", "prim", "prims", "profiler", "quantized", "rngprims", "sparse",
    "streams", "symm_mem", "torchbind", "xnnpack",
)  # fmt: skip
# Larger calls are left out: each is repeated several times.
MOST_VALUES = 1_000_000


@rule(
    "CMP009",
    "custom-operator-unsound",
    promise="custom operators do what they declare to the compiler",
    family="compilation",
    tier="full",
    explains=("CMP001", "CMP002", "CMP003", "CMP004", "CMP005"),
    since="0.1",
)
def custom_operator_unsound(probe: Probe) -> Iterator[Finding]:
    """Puts every custom operator of a forward pass through `torch.library.opcheck`.

    ## Why is this bad
    The compiler never looks into a custom operator: it believes the schema and the fake kernel. A
    wrong shape makes the code that follows read the wrong memory, and an argument that is changed
    without being declared may be changed twice or not at all.

    ## Bad
    ```python
    @torch.library.custom_op("layerwright_bad::row_energy", mutates_args=())
    def row_energy(x: torch.Tensor) -> torch.Tensor:
        return x.square().sum(-1)


    @row_energy.register_fake
    def _(x):
        return torch.empty_like(x)


    row_energy.register_autograd(
        lambda ctx, grad: 2 * grad[..., None] * ctx.saved_tensors[0],
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(inputs[0]),
    )


    class Energy(nn.Module):
        def forward(self, x):
            return row_energy(x)


    case = Case(Energy, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    @torch.library.custom_op("layerwright_good::row_energy", mutates_args=())
    def row_energy(x: torch.Tensor) -> torch.Tensor:
        return x.square().sum(-1)


    @row_energy.register_fake
    def _(x):
        return x.new_empty(x.shape[:-1])


    row_energy.register_autograd(
        lambda ctx, grad: 2 * grad[..., None] * ctx.saved_tensors[0],
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(inputs[0]),
    )


    class Energy(nn.Module):
        def forward(self, x):
            return row_energy(x)


    case = Case(Energy, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Let the fake kernel return what the operator returns in shape, dtype and strides, name what it
    changes in `mutates_args`, and return no view of an argument.

    ## Limits
    Only calls of the example forward pass in eval mode are repeated. A missing fake kernel is a
    warning. Missing gradient formulas are seen by the rules on gradients (GRD).

    ## References
    - https://pytorch.org/docs/stable/library.html#torch.library.opcheck
    """
    recorder = _CustomCalls()
    layer, inputs = probe.layer(), probe.inputs()
    with torch.no_grad(), recorder:
        probe.call(layer, inputs)
    for name, call in recorder.custom.items():
        results: Any = torch.library.opcheck(
            call.overload,
            call.args,
            dict(call.kwargs),
            test_utils=("test_schema", "test_faketensor"),
            raise_exception=False,
        )
        failed = {test: error for test, error in results.items() if isinstance(error, Exception)}
        for test, error in failed.items():
            words = next(iter(str(error).strip().splitlines()), type(error).__name__)[:220]
            missing = test == "test_faketensor" and "mismatch" not in str(error)
            yield Finding(
                where=f"operator {name}",
                expected="the schema and the fake kernel say what the operator does",
                found=f"torch.library.opcheck, {test}: {words}",
                fix="register a fake kernel that returns the same shapes, dtypes and strides"
                if test == "test_faketensor"
                else "name what it changes in mutates_args, and return no view of an argument",
                severity="warning" if missing else "error",
                file=call.place.file,
                line=call.place.line,
            )
            break  # a wrong schema makes the other test fail too


@dataclass(frozen=True)
class _CustomCall:
    """One call of a custom operator, with its arguments as they were before it."""

    overload: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    place: Place


@dataclass
class _CustomCalls(OpRecorder):
    """Keeps the first call of each custom operator."""

    custom: dict[str, _CustomCall] = field(default_factory=dict)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note the call, and run it."""
        del types
        kwargs = kwargs or {}
        name = func.name() if hasattr(func, "name") and callable(func.name) else ""
        size = sum(item.tensor.numel() for item in named_tensors((args, kwargs)))
        if (
            "::" in name
            and name.split("::")[0] not in _TORCH_S
            and name not in self.custom
            and size <= MOST_VALUES
        ):
            self.custom[name] = _CustomCall(
                func, map_tensors(args, _copied), map_tensors(kwargs, _copied), place_of_call()
            )
        return func(*args, **kwargs)


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()
