"""REG010 class-state-written."""

from collections.abc import Iterator

import torch

from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.isolation import Kept, kept_by_classes
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "REG010",
    "class-state-written",
    promise="a call changes nothing that instances share",
    family="registration",
    severity="warning",
    needs=(),
    explains=(
        "PUR003", "PUR004", "PUR005", "PUR009", "PUR010", "PUR011", "PRF001", "PRF004", "MOD002",
        "MOD003", "MOD005", "DTY001", "DTY002", "DEV001", "BAT001", "BAT002", "BAT003", "BAT004",
        "CMP001", "CMP002", "CMP003", "CMP005", "CMP008", "SER004", "GRD001", "GRD005", "TRN006",
    ),
    since="0.1",
)  # fmt: skip
def class_state_written(probe: Probe) -> Iterator[Finding]:
    """Compares class attributes, default arguments and globals of the class around calls.

    ## Why is this bad
    What lies on the class belongs to all instances, also to those of other models in the process.
    One layer's call changes what another one answers, or a list grows until memory is gone.

    ## Bad
    ```python
    class Smooth(nn.Module):
        seen = {}

        def forward(self, x):
            mean = self.seen.setdefault("mean", x.detach().mean())
            return x + 0.1 * mean


    case = Case(Smooth, inputs=(torch.randn(4, 3),), traits={"mixes_batch": True})
    ```

    ## Good
    ```python
    class Smooth(nn.Module):
        def forward(self, x):
            return x + 0.1 * x.detach().mean()


    case = Case(Smooth, inputs=(torch.randn(4, 3),), traits={"mixes_batch": True})
    ```

    ## How to fix
    Keep state on the instance: a buffer for tensors, an attribute made in `__init__` for the rest.

    ## Limits
    A cache on the class that the first call fills, and that leaves the answers of other instances
    alone, is not reported. Among global variables only lists, dicts and sets are watched.
    """
    layer = probe.layer()
    before = kept_by_classes(layer)  # ahead of the first call
    others = probe.other_inputs().map_floats(lambda tensor: 0.5 * tensor)
    with torch.no_grad():
        first = probe.call(probe.layer())
        repeatable = probe.deterministic is None
        for item in before:
            item.restore()
        kept = kept_by_classes(layer)
        probe.call(layer, others.clone())
        probe.attempt(lambda: probe.call(probe.layer(training=True), others.clone()))
        written = [item.where for item in kept if item.changed()]
        if not written:
            return
        words = difference(first, probe.call(probe.layer())) if repeatable else None
        probe.call(layer)  # a cache is full by now
        kept = kept_by_classes(layer)
        probe.call(layer)
        again = {item.where: item for item in kept if item.changed()}
    for where in written:
        if words:
            found = f"calls of one instance change what another one answers: {words}"
        elif where in again:
            found = f"each call changes it{_size(again[where])}"
        else:
            continue
        place = probe.place()
        yield Finding(
            where=where,
            expected="class, defaults and global variables stay as they are when forward runs",
            found=found,
            fix="keep it on the instance: a buffer, or an attribute that __init__ makes",
            severity="error" if words else None,
            file=place.file,
            line=place.line,
        )


def _size(item: Kept) -> str:
    """Say how a container grew, where it did."""
    if isinstance(item.value, list | dict | set) and len(item.value) != len(item.content):
        return f", from {len(item.content)} to {len(item.value)} items"
    return ""
