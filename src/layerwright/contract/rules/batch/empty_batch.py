"""BAT009 empty-batch."""

from collections.abc import Iterator

import torch

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "BAT009",
    "empty-batch",
    promise="a batch without samples gives an answer without samples",
    family="batch",
    severity="note",
    tier="full",
    needs=("forward", "batch"),
    excused_by=("mixes_batch",),
    since="0.1",
)
def empty_batch(probe: Probe) -> Iterator[Finding]:
    """Calls the layer with no sample at all, in eval mode.

    ## Why is this bad
    Detectors, routers and filters pass on what they kept, which may be nothing. Then the first
    layer that cannot take an empty batch ends the run.

    ## Bad
    ```python
    class Flat(nn.Module):
        def forward(self, x):
            return x.reshape(x.shape[0], -1)


    case = Case(Flat, inputs=(torch.randn(4, 3, 4),))
    ```

    ## Good
    ```python
    class Flat(nn.Module):
        def forward(self, x):
            return x.flatten(1)


    case = Case(Flat, inputs=(torch.randn(4, 3, 4),))
    ```

    ## How to fix
    Use `flatten(1)` instead of `reshape(x.shape[0], -1)`, which cannot guess a size from nothing.

    ## Limits
    Most networks never see an empty batch: this is a note.
    """
    batch = probe.batch
    if batch is None:
        return
    with torch.no_grad():
        attempt = probe.attempt(lambda: probe.call(probe.layer(), batch.take(batch.inputs, [])))
    if attempt.raised:
        place = attempt.raised.place if attempt.raised.place.file else probe.place()
        yield Finding(
            where=place.text or "forward",
            expected="an answer without samples for a batch without samples",
            found=f"it raised {attempt.raised.words}",
            fix="use flatten(1) instead of a reshape with -1; return early where nothing is left",
            file=place.file,
            line=place.line,
        )
