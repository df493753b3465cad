"""BAT002 batch-of-one."""

from collections.abc import Iterator

import torch

from layerwright.contract.batch import answers_differ
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule


@rule(
    "BAT002",
    "batch-of-one",
    promise="a sample alone gets the answer that it gets among others",
    family="batch",
    needs=("forward", "deterministic", "batch"),
    since="0.1",
)
def batch_of_one(probe: Probe) -> Iterator[Finding]:
    """Calls the layer with one sample, in eval mode, and compares the answer with that in a batch.

    ## Why is this bad
    Inference serves one sample at a time, and the last batch of an epoch may hold one. A `squeeze`
    without a dimension drops the batch there; the next operator broadcasts, or raises.

    ## Bad
    ```python
    class Score(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 1)

        def forward(self, x):
            return self.linear(x).squeeze()


    case = Case(Score, inputs=(torch.randn(4, 6),))
    ```

    ## Good
    ```python
    class Score(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(6, 1)

        def forward(self, x):
            return self.linear(x).squeeze(-1)


    case = Case(Score, inputs=(torch.randn(4, 6),))
    ```

    ## How to fix
    Name the dimension: `squeeze(-1)`, `flatten(1)`. Choose no branch by the size of the batch.

    ## Limits
    Training mode is not judged: batch normalisation needs two samples there.

    ## References
    - https://github.com/meetps/pytorch-semseg/issues/214
    """
    batch = probe.batch
    if batch is None:
        return
    with torch.no_grad():
        whole = probe.call(probe.layer(), batch.inputs.clone())
        alone = probe.attempt(lambda: probe.call(probe.layer(), batch.take(batch.inputs, [0])))
    place = alone.raised.place if alone.raised else probe.place()
    if alone.raised:
        words: str | None = f"it raised {alone.raised.words}"
    else:
        words = answers_differ(batch.take_output(whole, [0]), alone.output)
    if words:
        yield Finding(
            where=place.text or "forward",
            expected=f"for sample 0 alone, its answer among {batch.size} samples",
            found=words,
            fix="name the dimension in squeeze (squeeze(-1)), flatten(1) and the like, so that a "
            f"dimension {batch.dim} of size 1 stays",
            file=place.file,
            line=place.line,
        )
