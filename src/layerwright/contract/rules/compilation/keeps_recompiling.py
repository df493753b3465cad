"""CMP005 keeps-recompiling."""

from collections.abc import Iterator

import torch

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.torch_compat.dynamo import (
    Compiled,
    NotTraced,
    compiled,
    recompile_reason,
)
from layerwright.contract.torch_compat.export import exported
from layerwright.contract.trees import Inputs
from layerwright.random_numbers import seed_all

# Calls, and how many of them may compile: a first time, once more for what the first call set up
# or for a size that turns out to be dynamic, and one to spare.
CALLS = 5
ALLOWED = 3


@rule(
    "CMP005",
    "keeps-recompiling",
    promise="a compiled layer is not compiled again at every call",
    family="compilation",
    severity="warning",
    tier="full",
    excused_by=("data_dependent_shape",),
    since="0.1",
)
def keeps_recompiling(probe: Probe) -> Iterator[Finding]:
    """Counts compilations over five equal calls, and over five sizes of the batch.

    ## Why is this bad
    Every compilation takes seconds to minutes. After eight of them torch gives up and runs the
    layer without the compiler, with no more than a line in the log.

    ## Bad
    ```python
    class Warmup(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return self.linear(x) * min(1.0, self.calls / 100)


    case = Case(Warmup, inputs=(torch.randn(4, 3),), traits={"stateful": True})
    ```

    ## Good
    ```python
    class Warmup(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            y = self.linear(x) * (self.calls / 100).clamp(0.01, 1.0)
            if self.training:
                self.calls = self.calls + 1
            return y


    case = Case(Warmup, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Count in a buffer, not in a Python number: the compiler takes attributes for constants. Do not
    loop over samples, and do not branch on the size of the batch.

    ## Limits
    A layer that is not one graph (CMP001) is not judged. Sizes that torch itself takes for
    constants are not reported.

    ## References
    - https://github.com/pytorch/pytorch/issues/124717: an attribute that recompiles
    """
    for training in (False, True):
        yield from (found := list(_equal_calls(probe, training=training)))
        if found:
            return
    yield from _batch_sizes(probe)


def _equal_calls(probe: Probe, *, training: bool) -> Iterator[Finding]:
    layer = probe.layer(training=training)
    with compiled(layer, "eager", dynamic=None) as run, torch.no_grad():
        if not _compiles(probe, run, [probe.inputs() for _ in range(CALLS)], training=training):
            return
        given = probe.inputs()
        reason, place = recompile_reason(run, *given.args, **given.kwargs)
        if run.count > ALLOWED and reason:
            yield Finding(
                where="forward",
                expected="one compilation",
                found=f"{run.count} compilations in {CALLS} equal calls: the compiled code holds "
                f"only while {reason}",
                fix="keep what changes from call to call in a buffer, not in a Python attribute",
                file=place.file,
                line=place.line,
            )


def _batch_sizes(probe: Probe) -> Iterator[Finding]:
    batch = probe.batch
    if batch is None:
        return
    with compiled(probe.layer(), "eager", dynamic=None) as run, torch.no_grad():
        sizes = range(batch.size, batch.size + CALLS)
        calls = [
            batch.take(batch.inputs, [place % batch.size for place in range(size)])
            for size in sizes
        ]
        if not _compiles(probe, run, calls, training=False) or run.count <= ALLOWED:
            return
        given = batch.take(batch.inputs, [0] * (sizes[-1] + 1))
        reason, place = recompile_reason(run, *given.args, **given.kwargs)
        if not reason:  # dynamo names no line: export does
            names = batch.batched
            fixing = exported(probe.layer(), batch.inputs.clone(), names, batch.dim)
            if batch.size in fixing.fixed and fixing.stopped_by == "user":
                reason, place = f"the batch has {sizes[-1]} samples", fixing.place
    if reason:
        yield Finding(
            where=f"forward, dimension {batch.dim} of {', '.join(batch.batched)}",
            expected=f"at most {ALLOWED} compilations",
            found=f"{run.count} compilations for {CALLS} sizes of the batch: the compiled code "
            f"holds only while {reason}",
            fix="work on the whole batch, without a loop over its samples, and without "
            "branches on its size",
            file=place.file,
            line=place.line,
        )


def _compiles(probe: Probe, run: Compiled, calls: list[Inputs], *, training: bool) -> bool:
    """Make the calls; tell whether they were compiled as one graph."""
    for given in calls:
        seed_all(probe.seed)
        try:
            run.call(*given.args, **given.kwargs)
        except NotTraced as refused:
            if not training:
                probe.skip(f"it is not one graph: {refused.words}")
            return False
        except Exception:  # noqa: BLE001 - the layer does not take these inputs: other rules say so
            return False
    if run.count == 0:
        probe.skip("torch.compile is turned off")
    return True
