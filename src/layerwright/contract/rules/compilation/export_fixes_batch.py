"""CMP004 export-fixes-batch."""

from collections.abc import Iterator

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.torch_compat.export import exported


@rule(
    "CMP004",
    "export-fixes-batch",
    promise="the exported layer takes batches of any size",
    family="compilation",
    severity="warning",
    tier="full",
    needs=("forward", "batch"),
    requires=("CMP003",),
    explains=("CMP005",),
    excused_by=("data_dependent_shape",),
    since="0.1",
)
def export_fixes_batch(probe: Probe) -> Iterator[Finding]:
    """Exports a copy of the layer with a dynamic batch, and says which line fixes its size.

    ## Why is this bad
    The layer takes any batch, the exported one only batches of the size of the example. A server
    that collects requests into batches refuses all others.

    ## Bad
    ```python
    class PerSample(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return torch.stack([self.linear(sample) for sample in x.unbind()])


    case = Case(PerSample, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class PerSample(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)

        def forward(self, x):
            return self.linear(x)


    case = Case(PerSample, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Replace the loop over samples by an operator on the whole batch, `int(x.shape[0])` by
    `x.shape[0]`, and `math.sqrt(x.shape[0])` by `x.shape[0] ** 0.5`.

    ## Limits
    Only the batch is made dynamic, in an example of at least three samples. A size that a module of
    torch fixes, as its recurrent layers do, is not reported, and a layer that cannot be exported at
    all (CMP003) is not judged.

    ## References
    - https://github.com/pytorch/pytorch/issues/150842: a batch that export specialises
    """
    batch = probe.batch
    if batch is None:
        return
    result = exported(probe.layer(), batch.inputs.clone(), batch.batched, batch.dim)
    if result.call is not None:
        return
    if batch.size not in result.fixed:
        probe.skip(f"the layer is not exported: {result.words}")
    if result.stopped_by != "user":
        probe.skip("code of torch fixes the size of the batch")
    at = f" by `{result.place.text}`" if result.place.text else ""
    yield Finding(
        where=f"torch.export, dimension {batch.dim} of {', '.join(batch.batched)}",
        expected="any number of samples",
        found=f"the batch is fixed at {batch.size}{at}; the layer itself takes others",
        fix="work on the whole batch instead of looping over it, and keep x.shape[0] as it is, "
        "without len(), int() or math",
        file=result.place.file,
        line=result.place.line,
    )
