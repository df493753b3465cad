"""The layer in another dtype: what `layer.to(dtype)` gives, and which errors blame the layer."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised
from layerwright.contract.source import is_users, place_of_call
from layerwright.contract.torch_compat.dispatch import OpCall, OpRecorder
from layerwright.contract.trees import Inputs, named_tensors

if TYPE_CHECKING:
    from types import FrameType

_TORCH_NN = str(Path(nn.__file__).parent)

# What torch says when two dtypes meet that should be one.
_CLASHES = (
    "same dtype",
    "should be the same",
    "expected scalar type",
    "expected m1 and m2",
    "dtypes match",
    "dtype mismatch",
    "but found dtype",
    "same scalar type",
    "same type",
    "to have dtype",
    "does not match weight dtype",
)

# And when it has no kernel for a dtype, which is no fault of the layer.
_UNSUPPORTED = (
    "not implemented for",
    "not support",
    "nsupported",
    "Low precision",
    "must be either",
)


@dataclass(frozen=True)
class Cast:
    """A pass in eval mode in another dtype: an output, or an error."""

    output: Any
    raised: LayerRaised | None


_KEPT: "WeakKeyDictionary[Probe, dict[torch.dtype, Cast]]" = WeakKeyDictionary()


def run_in(probe: Probe, dtype: torch.dtype, inputs: Inputs | None = None) -> Cast:
    """Run the layer with its state and its inputs in another dtype.

    The outcome on the example inputs is kept for all rules that ask.
    """
    kept = _KEPT.setdefault(probe, {})
    if inputs is None and dtype in kept:
        return kept[dtype]
    given = (probe.inputs() if inputs is None else inputs).to(dtype)
    layer = probe.layer().to(dtype)
    with torch.no_grad():
        attempt = probe.attempt(lambda: probe.call(layer, given))
    cast = Cast(attempt.output, attempt.raised)
    if inputs is None:
        kept[dtype] = cast
    return cast


def calls_in(probe: Probe, dtype: torch.dtype, inputs: Inputs | None = None) -> list[OpCall]:
    """Return the operators of such a run, up to the error if there is one."""
    return _recorded(OpRecorder(), probe, dtype, inputs).calls


def culprit_in(probe: Probe, dtype: torch.dtype, inputs: Inputs) -> OpCall | None:
    """Return the `culprit` of such a run, or None if a function of torch.nn called it."""
    recorder = _recorded(_Origins(), probe, dtype, inputs)
    found = culprit(recorder.calls)
    return None if any(found is call for call in recorder.inside_torch) else found


R = TypeVar("R", bound=OpRecorder)


def _recorded(recorder: R, probe: Probe, dtype: torch.dtype, inputs: Inputs | None) -> R:
    given = (probe.inputs() if inputs is None else inputs).to(dtype)
    layer = probe.layer().to(dtype)
    with torch.no_grad(), recorder:
        probe.attempt(lambda: probe.call(layer, given))
    return recorder


@dataclass
class _Origins(OpRecorder):
    """Notes besides which operators were called by torch.nn and not by the user's own code."""

    inside_torch: list[OpCall] = field(default_factory=list)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = super().__torch_dispatch__(func, types, args, kwargs)
        # The place that the base class sees ends at this method.
        self.calls[-1] = replace(self.calls[-1], place=place_of_call())
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - inspect.stack reads every file
        while frame is not None:
            filename = frame.f_code.co_filename
            if is_users(filename) or filename.startswith("<"):
                break
            if filename.startswith(_TORCH_NN):
                self.inside_torch.append(self.calls[-1])
                break
            frame = frame.f_back
        return output


def culprit(calls: Iterable[OpCall]) -> OpCall | None:
    """Return the first operator that made NaN, else the first that made infinity."""
    calls = list(calls)
    for is_bad in (torch.isnan, torch.isinf):
        for call in calls:
            if _any(is_bad, call.tensors_out) and not _any(is_bad, call.tensors_in):
                return call
    return None


def _any(is_bad: Callable[[Tensor], Tensor], tensors: list[Tensor]) -> bool:
    return any(bool(is_bad(item).any()) for item in tensors if item.is_floating_point())


def why_not_castable(layer: nn.Module, inputs: Inputs) -> str | None:
    """Return why `layer.to(dtype)` makes no sense for this layer, or None."""
    state = [*layer.parameters(), *layer.buffers(), *(item.tensor for item in inputs.tensors())]
    if any(item.is_complex() for item in state):
        return "it holds or takes complex numbers, which a cast to a real dtype cuts"
    if any(item.is_quantized for item in state):
        return "it holds quantised tensors"
    if not any(item.is_floating_point() for item in state):
        return "it holds and takes no floating-point tensor"
    return None


def is_clash(raised: LayerRaised) -> bool:
    """Tell whether an error says that two dtypes met, and not that a kernel is missing."""
    words = str(raised.error)
    return (
        isinstance(raised.error, RuntimeError | TypeError | ValueError)
        and any(text in words for text in _CLASHES)
        and not any(text in words for text in _UNSUPPORTED)
    )


def is_finite(output: Any) -> bool:
    """Tell whether all floating-point numbers of a tree are finite."""
    return all(
        bool((tensor if tensor.layout == torch.strided else tensor.to_dense()).isfinite().all())
        for tensor in (item.tensor for item in named_tensors(output))
        if tensor.is_floating_point() or tensor.is_complex()
    )
