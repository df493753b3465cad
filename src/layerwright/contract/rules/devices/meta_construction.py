"""DEV003 meta-construction."""

from collections.abc import Iterator

import torch

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule


@rule(
    "DEV003",
    "meta-construction",
    promise="the layer can be built without memory for its parameters, on the meta device",
    family="devices",
    severity="note",
    needs=("constructor",),
    since="0.1",
)
def meta_construction(probe: Probe) -> Iterator[Finding]:
    """Builds the layer under `torch.device("meta")`, as loaders of large models do.

    ## Why is this bad
    Large networks are built on the meta device first and filled from a checkpoint or shard by
    shard. A constructor that reads the values of a tensor raises there.

    ## Bad
    ```python
    class DropRates(nn.Module):
        def __init__(self):
            super().__init__()
            rates = [rate.item() for rate in torch.linspace(0.0, 0.1, 3)]
            self.drops = nn.ModuleList([nn.Dropout(rate) for rate in rates])

        def forward(self, x):
            for drop in self.drops:
                x = drop(x)
            return x


    case = Case(DropRates, inputs=(torch.randn(3, 5),))
    ```

    ## Good
    ```python
    class DropRates(nn.Module):
        def __init__(self):
            super().__init__()
            self.drops = nn.ModuleList([nn.Dropout(0.05 * depth) for depth in range(3)])

        def forward(self, x):
            for drop in self.drops:
                x = drop(x)
            return x


    case = Case(DropRates, inputs=(torch.randn(3, 5),))
    ```

    ## How to fix
    Compute plain numbers with Python or numpy, or on `device="cpu"`. Fill parameters in
    `reset_parameters`, which runs again once there is memory.

    ## Limits
    State that the constructor puts on the CPU on purpose is not reported.

    ## References
    - https://github.com/pytorch/pytorch/issues/90465
    """
    build = probe.subject.build
    if build is None:
        probe.skip(probe.subject.why_not_built)
    probe.rebuild()  # if that raises, it says nothing about meta
    with torch.device("meta"):
        try:
            build()
        except Exception as error:  # noqa: BLE001 - a constructor may raise anything
            raised = LayerRaised(error)
        else:
            return
    if not isinstance(raised.error, NotImplementedError | RuntimeError):
        probe.skip(f"building it on meta raised {raised.words}")
    yield Finding(
        where="__init__",
        expected='with torch.device("meta"), the layer is built without data',
        found=f"the constructor raised {raised.words}",
        fix="read no values of tensors in the constructor, or make those tensors on device='cpu'",
        file=raised.place.file,
        line=raised.place.line,
    )
