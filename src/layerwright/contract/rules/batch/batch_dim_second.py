"""BAT010 batch-dim-second."""

from collections.abc import Iterator

import torch

from layerwright.contract.batch import flat
from layerwright.contract.evidence.axes import changed_at
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "BAT010",
    "batch-dim-second",
    promise="samples lie along the first dimension",
    family="batch",
    severity="note",
    needs=("forward", "deterministic", "batch"),
    excused_by=("mixes_batch",),
    since="0.1",
)
def batch_dim_second(probe: Probe) -> Iterator[Finding]:
    """Says so when rows of the first dimension meet and those of the second do not.

    ## Why is this bad
    It is not: recurrent and attention layers of torch expect (length, batch, features) unless they
    are built with `batch_first=True`. But whoever feeds (batch, length, features) gets samples
    mixed without any error.

    ## Bad
    ```python
    case = Case(nn.LSTM(6, 4), inputs=(torch.randn(8, 3, 6),))
    ```

    ## Good
    ```python
    case = Case(nn.LSTM(6, 4, batch_first=True), inputs=(torch.randn(8, 3, 6),))
    ```

    ## How to fix
    If the first dimension was meant to hold the samples, pass `batch_first=True` or transpose
    before and after. If the second was, declare it: `@lw.traits(batch_dim=1)`.

    ## References
    - https://github.com/jsbaan/transformer-from-scratch/pull/6
    """
    batch = probe.batch
    if batch is None or batch.dim != 1 or probe.traits.batch_dim == 1:
        return
    if any(item.tensor.shape[0] == 0 for item in batch.inputs.tensors() if item.tensor.dim()):
        return
    with torch.no_grad():
        whole = flat(probe.call(probe.layer(), batch.inputs.clone()))
        changed = changed_at(batch.inputs, 0, batch.batched, 0)
        other = flat(probe.call(probe.layer(), changed))
    size = next(x.tensor.shape[0] for x in batch.inputs.tensors() if x.name == batch.batched[0])
    meet = any(
        one.shape != new.shape
        or one.dim() == 0
        or one.shape[0] != size
        or not torch.equal(one[1:], new[1:])
        for one, new in zip(whole, other, strict=False)
    )
    if not meet:
        return
    place = probe.place()
    yield Finding(
        where=f"forward, input {batch.batched[0]}",
        expected="answers for an index of dimension 0 that do not depend on the others",
        found="indices of dimension 0 meet; those of dimension 1 are independent of each other",
        fix="batch_first=True or a transposition, if dimension 0 holds the samples; "
        "traits(batch_dim=1), if dimension 1 does",
        file=place.file,
        line=place.line,
    )
