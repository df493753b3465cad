"""MOD006 precision-change-sticks."""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.attributes import held_outside
from layerwright.contract.evidence.layer_state import remembers
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import Place, place_of_attribute


@rule(
    "MOD006",
    "precision-change-sticks",
    promise="a call in another precision leaves later calls in float32 as they were",
    family="modes",
    needs=("forward", "deterministic", "float32"),
    excused_by=("stateful",),
    since="0.1",
)
def precision_change_sticks(probe: Probe) -> Iterator[Finding]:
    """Calls the layer under autocast, in bfloat16 and in float64, then in float32 again.

    The answer is compared with that of a layer that went through the same conversions and was
    called in float32 only. Both have the same parameters and buffers.

    ## Why is this bad
    A table that is kept from a call in bfloat16 has three digits. Answers in float32 stay that
    coarse, depending on who called first; a table in float64 turns all that follows to float64.

    ## Bad
    ```python
    class Positions(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = None

        def forward(self, x):
            if self.table is None:
                self.table = torch.arange(3, dtype=x.dtype, device=x.device).sin()
            return x + self.table


    case = Case(Positions, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Positions(nn.Module):
        def forward(self, x):
            return x + torch.arange(3, dtype=x.dtype, device=x.device).sin()


    case = Case(Positions, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Keep tables in float32 and convert them in each call, or compute them anew when `x.dtype`
    changes. A buffer follows `layer.to(dtype)`, an attribute does not.

    ## Limits
    Layers whose answers in eval mode depend on earlier calls are skipped.

    ## References
    - https://github.com/pytorch/pytorch/issues/87979
    """
    if remembers(probe):
        probe.skip("its answers in eval mode depend on the calls before")
    for words, call in _CALLS.items():
        called = probe.layer()
        with torch.no_grad():
            if probe.attempt(lambda called=called, call=call: call(probe, called)).raised:  # type: ignore[misc]
                continue
            if words != "autocast":
                called = called.float()
            references = [
                _reference(probe, words, called_before=before) for before in (True, False)
            ]
            found = ""
            for plain in references:
                found = _difference(probe, plain, called, registered=words != "autocast")
                if not found:
                    break
        if found:
            where, place = _suspect(called, references[0]) or ("forward", probe.place())
            yield Finding(
                where=where,
                expected="the answer in float32 that the layer gives without the call",
                found=f"after a call in {_NAMES[words]}, in float32 again: {found}",
                fix="keep the table in float32 and convert it in each call with .to(x.dtype)",
                file=place.file,
                line=place.line,
            )
            return


def _reference(probe: Probe, words: str, *, called_before: bool) -> nn.Module:
    """Return a layer that went through the same conversions, and was called in float32 only.

    What it keeps of a call before them may be out of date, what it computes after them may be
    rounded otherwise: either is right.
    """
    plain = probe.layer()
    if called_before:
        probe.attempt(lambda: probe.call(plain))
    if words != "autocast":
        plain = getattr(plain, words)().float()
    return plain


def _difference(probe: Probe, plain: nn.Module, called: nn.Module, *, registered: bool) -> str:
    """Return how the answers of the two differ, or "".

    Registered state is rounded by a conversion, and written in its precision, as it should be:
    with `registered` it is copied, so that only what is kept elsewhere counts.
    """
    if registered:
        _take_registered(called, plain)
    expected = probe.attempt(lambda: probe.call(plain))
    actual = probe.attempt(lambda: probe.call(called))
    if expected.raised:
        return ""
    if actual.raised:
        return actual.raised.words
    return difference(expected.output, actual.output) or ""


def _take_registered(layer: nn.Module, source: nn.Module) -> None:
    """Copy parameters and buffers of one layer into another."""
    for kind in ("named_parameters", "named_buffers"):
        given = dict(getattr(source, kind)())
        for name, tensor in getattr(layer, kind)():
            if name in given and given[name].shape == tensor.shape:
                tensor.copy_(given[name])


def _under_autocast(probe: Probe, layer: nn.Module) -> object:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return probe.call(layer)


def _in_bfloat16(probe: Probe, layer: nn.Module) -> object:
    return probe.call(layer.bfloat16(), probe.inputs().to(torch.bfloat16))


def _in_double(probe: Probe, layer: nn.Module) -> object:
    return probe.call(layer.double(), probe.inputs().to(torch.float64))


_CALLS: dict[str, Callable[[Probe, nn.Module], object]] = {
    "autocast": _under_autocast,
    "bfloat16": _in_bfloat16,
    "double": _in_double,
}
_NAMES = {"autocast": "bfloat16 under autocast", "bfloat16": "bfloat16", "double": "float64"}


def _suspect(called: nn.Module, plain: nn.Module) -> tuple[str, Place] | None:
    """Return the attribute that the call left in another dtype, or with other values."""
    fresh = {held.name: held.value for held in held_outside(plain)}
    for held in held_outside(called):
        if isinstance(held.value, torch.Tensor):
            other = fresh.get(held.name)
            if not isinstance(other, torch.Tensor) or difference(other, held.value):
                return held.name, place_of_attribute(held.module, held.attribute)
    return None
