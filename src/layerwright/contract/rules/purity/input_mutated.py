"""PUR001 input-mutated."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn

from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.torch_compat.dispatch import OpCall, OpRecorder
from layerwright.contract.trees import Named

# Operators that put results into a part of a tensor that is handed over, as a cache is.
_STORES = {"copy_", "index_copy_", "index_put_", "scatter_", "slice_scatter", "_index_put_impl_"}


@rule(
    "PUR001",
    "input-mutated",
    promise="forward leaves the caller's tensors untouched",
    family="purity",
    explains=("PUR004", "PUR010", "MOD002", "BAT001", "BAT002", "GRD001", "GRD010", "NUM005"),
    excused_by=("inplace",),
    since="0.1",
)
def input_mutated(probe: Probe) -> Iterator[Finding]:
    """Compares every input tensor before and after a forward pass, in both modes.

    ## Why is this bad
    The caller still owns the tensor. A residual branch that reads it next sees the altered values,
    and the loss drifts without any exception.

    ## Bad
    ```python
    class Shift(nn.Module):
        def forward(self, x):
            return x.add_(1.0)


    case = Case(Shift, inputs=(torch.zeros(2, 3),))
    ```

    ## Good
    ```python
    class Shift(nn.Module):
        def forward(self, x):
            return x + 1.0


    case = Case(Shift, inputs=(torch.zeros(2, 3),))
    ```

    ## How to fix
    Use the operator without the trailing underscore, or write into `x.clone()`. A layer that
    changes its input on purpose says so: `@lw.traits(inplace=True)`.

    ## Limits
    A write that puts the same values back is not seen. A layer whose own attribute `inplace` is
    True says that it writes, as those of torch do, and so does a `Sequential` that begins with
    one: both are skipped. So are writes into a part of a later argument, as into a cache that the
    caller hands over. What is put into a list or a dict of the caller's is not judged.

    ## References
    - https://github.com/huggingface/transformers/pull/47742: one such test found 16 models
    - https://github.com/NVIDIA/earth2studio/issues/1133: the caller's coordinates changed
    """
    if _says_so(probe.subject.layer):
        probe.skip("it has inplace=True, which says that it changes its input")
    for training in (False, True):
        changes = _changes(probe, training=training)
        stores = [change for change in changes if change.stored]
        for change in changes:
            if not change.stored:
                yield _finding(change, "training" if training else "eval")
        if len(stores) < len(changes):
            return
        if stores:
            probe.skip(f"it stores results in a part of {stores[0].name}, as in a cache")


class _Change(NamedTuple):
    """An input tensor that a call changed.

    Attributes:
        name: of the input.
        words: how it changed.
        write: the operator that wrote it, if that is known.
        stored: whether only a part of a later argument was written, as a cache is.
    """

    name: str
    words: str
    write: OpCall | None
    stored: bool


def _finding(change: _Change, mode: str) -> Finding:
    write = change.write
    instead = "use the out-of-place operator"
    if write is not None:
        instead += f" instead of {_base_name(write)}"
    return Finding(
        where=f"forward, input {change.name}",
        expected="the same values after the call as before",
        found=f"{change.words}, in {mode} mode",
        fix=f"{instead}, or write into a clone of the input",
        file=write.place.file if write else None,
        line=write.place.line if write else None,
    )


def _changes(probe: Probe, *, training: bool) -> list[_Change]:
    before, (given, raised) = probe.inputs().tensors(), _called(probe, None, training=training)
    if raised:
        return []
    found = []
    for place, (old, new) in enumerate(zip(before, given, strict=True)):
        words = difference(old.tensor, new.tensor, exact=True)
        if words:
            write = _write(probe, place, training=training)
            stored = place > 0 and _base_name(write) in _STORES and _partly(old.tensor, new.tensor)
            found.append(_Change(old.name, words, write, stored))
    return found


def _called(
    probe: Probe, recorder: OpRecorder | None, *, training: bool
) -> tuple[list[Named], bool]:
    """Call a fresh layer; return the tensors that it was given, and whether it raised."""
    inputs = probe.inputs()
    given = inputs.tensors()  # before the call: it may add to lists and dicts of the caller
    layer = probe.layer(training=training)
    with torch.no_grad(), recorder or nullcontext():
        attempt = probe.attempt(lambda: probe.call(layer, inputs))
    return given, attempt.raised is not None


def _write(probe: Probe, place: int, *, training: bool) -> OpCall | None:
    """Return the first operator that wrote into the memory of the input at this place."""
    recorder = OpRecorder()
    given, _ = _called(probe, recorder, training=training)
    memory = _memory(given[place].tensor)
    for call in recorder.calls:
        target = call.args[0] if call.args else None
        writes = _base_name(call).endswith("_")
        if memory and writes and isinstance(target, Tensor) and _memory(target) == memory:
            return call
    return None


def _base_name(call: OpCall | None) -> str:
    """Return "add_" for aten::add_.Tensor."""
    return "" if call is None else call.name.split("::")[-1].split(".")[0]


def _memory(tensor: Tensor) -> int:
    if tensor.layout != torch.strided:
        return 0
    return tensor.untyped_storage().data_ptr()


def _partly(old: Tensor, new: Tensor) -> bool:
    return old.shape == new.shape and bool((old == new).any())


def _says_so(layer: nn.Module) -> bool:
    """Tell whether the layer declares in-place work: itself, or by its first part."""
    while isinstance(layer, nn.Sequential) and len(layer):
        layer = layer[0]
    return getattr(layer, "inplace", False) is True
