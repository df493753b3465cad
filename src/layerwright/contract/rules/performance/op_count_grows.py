"""PRF002 op-count-grows."""

from collections import Counter
from collections.abc import Iterator

import torch

from layerwright.contract.batch import Batch
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import Place
from layerwright.contract.torch_compat.dispatch import OpRecorder

SIZES = (2, 4, 6)


@rule(
    "PRF002",
    "op-count-grows",
    promise="the number of operators does not depend on the number of samples",
    family="performance",
    severity="warning",
    needs=("forward", "deterministic", "batch"),
    excused_by=("data_dependent_shape",),
    since="0.1",
)
def op_count_grows(probe: Probe) -> Iterator[Finding]:
    """Counts the operators of a forward pass for two, four and six samples.

    The samples are copies of one, so that nothing but their number differs.

    ## Why is this bad
    A Python loop over the batch starts every operator once per sample. On a GPU, a batch of 256
    then takes as long as 256 batches of one.

    ## Bad
    ```python
    class Normalize(nn.Module):
        def forward(self, x):
            return torch.stack([F.normalize(sample, dim=0) for sample in x])


    case = Case(Normalize, inputs=(torch.randn(4, 8),))
    ```

    ## Good
    ```python
    class Normalize(nn.Module):
        def forward(self, x):
            return F.normalize(x, dim=1)


    case = Case(Normalize, inputs=(torch.randn(4, 8),))
    ```

    ## How to fix
    Let one operator work on all samples: `dim=`, broadcasting, `torch.bmm`, `torch.einsum`, or
    `torch.vmap` of the function of one sample.

    ## Limits
    Work that differs from sample to sample, as in detection, has to be a loop: declare
    `@lw.traits(data_dependent_shape=True)`.
    """
    batch = probe.batch
    if batch is None:
        probe.skip("no dimension with independent samples was found")
    few, more, many = (_count(probe, batch, size).total() for size in SIZES)
    if not (0 < more - few == many - more):
        return
    grown = _count(probe, batch, SIZES[2], with_places=True)
    grown -= _count(probe, batch, SIZES[1], with_places=True)
    line, _ = max(_by_line(grown).items(), key=lambda item: item[1])
    operator = next(key for key in grown if key[1] == line)[0]
    yield Finding(
        where="forward",
        expected="as many operators for six samples as for two",
        found=f"{few} operators for 2 samples, {more} for 4, {many} for 6; "
        f"{operator} is one of those that grow",
        fix="replace the loop over samples by an operator that takes all: dim=, broadcasting, "
        "torch.bmm or torch.vmap",
        file=line.file,
        line=line.line,
    )


def _count(
    probe: Probe, batch: Batch, size: int, *, with_places: bool = False
) -> Counter[tuple[str, Place]]:
    """Count the operators by name and line, for so many copies of the first sample."""
    layer, inputs = probe.layer(), batch.take(batch.inputs, [0] * size)
    recorder = OpRecorder(with_places=with_places)
    with torch.no_grad(), recorder:
        probe.call(layer, inputs)
    return Counter((call.name.split("::")[-1], call.place) for call in recorder.calls)


def _by_line(counts: Counter[tuple[str, Place]]) -> Counter[Place]:
    found: Counter[Place] = Counter()
    for (_, place), count in counts.items():
        found[place] += count
    return found
