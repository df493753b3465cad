"""INI005 reset-incomplete."""

import inspect
from collections.abc import Iterator

import torch
from torch import nn

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute
from layerwright.contract.trees import is_float


@rule(
    "INI005",
    "reset-incomplete",
    promise="reset_parameters() writes every parameter of its module",
    family="initialization",
    severity="warning",
    needs=("parameters",),
    explains=("SER006",),
    since="0.1",
)
def reset_incomplete(probe: Probe) -> Iterator[Finding]:
    """Fills the parameters of each part with NaN, calls its `reset_parameters`, looks for NaN.

    ## Why is this bad
    A large model is built on the meta device, given memory, and then initialised by
    `reset_parameters()` of each module; FSDP does so too. What the method forgets keeps whatever
    was in memory. Who restarts a layer to train it again keeps a part of the old one.

    ## Bad
    ```python
    class Affine(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3))
            self.gain = nn.Parameter(torch.ones(3))

        def reset_parameters(self):
            nn.init.normal_(self.weight)

        def forward(self, x):
            return (x @ self.weight) * self.gain


    case = Case(Affine, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Affine(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.empty(3, 3))
            self.gain = nn.Parameter(torch.empty(3))
            self.reset_parameters()

        def reset_parameters(self):
            nn.init.normal_(self.weight)
            nn.init.ones_(self.gain)

        def forward(self, x):
            return (x @ self.weight) * self.gain


    case = Case(Affine, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Write every parameter of the module in `reset_parameters`, and call it from the constructor.

    ## Limits
    Only trained parameters that the module itself holds are judged; parts of it have methods of
    their own. A module with hooks or parametrizations is left out: what it holds was added later.

    ## References
    - https://github.com/pytorch/pytorch/issues/104187
    - https://github.com/pytorch/pytorch/issues/90465
    """
    layer = probe.layer()
    for path, module in layer.named_modules():
        reset = getattr(module, "reset_parameters", None)
        own = {
            name: item
            for name, item in module.named_parameters(recurse=False)
            if item.requires_grad and is_float(item)
        }
        added_to = module._forward_pre_hooks or nn.utils.parametrize.is_parametrized(module)  # noqa: SLF001
        if not own or added_to or not _callable(reset):
            continue
        with torch.no_grad():
            for item in own.values():
                item.fill_(float("nan"))
            try:
                reset()  # type: ignore[misc]
            except Exception:  # noqa: BLE001, S112 - it may need more than its parameters
                continue
        now = dict(module.named_parameters(recurse=False))
        left = [name for name in own if name in now and bool(now[name].isnan().any())]
        for name in left:
            place = place_of_attribute(module, name)
            kind = type(module).__name__
            yield Finding(
                where=f"{path}.{name}" if path else name,
                expected=f"{kind}.reset_parameters() writes all {len(own)} parameters",
                found=f"{int(now[name].isnan().sum())} of {now[name].numel()} values are as they "
                "were before the call",
                fix=f"initialise self.{name} in reset_parameters too",
                file=place.file,
                line=place.line,
            )


def _callable(reset: object) -> bool:
    """Tell whether it is a method that can be called without arguments."""
    if not inspect.ismethod(reset):
        return False
    return all(
        item.default is not item.empty or item.kind in {item.VAR_POSITIONAL, item.VAR_KEYWORD}
        for item in inspect.signature(reset).parameters.values()
    )
