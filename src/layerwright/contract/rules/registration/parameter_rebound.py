"""REG012 parameter-rebound."""

from collections.abc import Iterator

from torch import nn

from layerwright.contract.finding import Finding
from layerwright.contract.gradients import projection
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute


@rule(
    "REG012",
    "parameter-rebound",
    promise="a parameter stays the same object from the constructor on",
    family="registration",
    explains=(
        "MOD003", "MOD004", "TRN001", "TRN005", "TRN006", "GRD005", "GRD008", "GRD012",
        "DST001", "DST002", "SER005", "PUR004", "CMP007",
    ),
    since="0.1",
)  # fmt: skip
def parameter_rebound(probe: Probe) -> Iterator[Finding]:
    """Compares the parameter objects before and after forward, backward, `train()` and `eval()`.

    ## Why is this bad
    An optimizer holds the objects that it was given. When the layer replaces one, the optimizer
    goes on updating the old tensor, which nobody reads, and the layer stops learning.

    ## Bad
    ```python
    class UnitNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3))

        def forward(self, x):
            self.weight = nn.Parameter(nn.functional.normalize(self.weight, dim=1))
            return x @ self.weight


    case = Case(UnitNorm, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class UnitNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3))

        def forward(self, x):
            return x @ nn.functional.normalize(self.weight, dim=1)


    case = Case(UnitNorm, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Compute with the parameter and leave it in place, or write into it under `torch.no_grad()`:
    `self.weight.copy_(...)`. Use `torch.nn.utils.parametrize` for constraints.

    ## Limits
    A parameter that is swapped and put back within one call is not seen.
    """
    for training in (True, False):
        layer = probe.layer(training=training)
        before = dict(layer.named_parameters(remove_duplicate=False))
        try:
            loss = projection(probe.call(layer))
            if loss is not None and training:
                loss.backward()
            when = "a call"
            if _rebound(layer, before) == []:
                layer.train(not training)
                layer.train(training)
                when = "train() and eval()"
        except Exception:  # noqa: BLE001, S112 - its own backward or train() raised; not ours
            continue
        rebound = _rebound(layer, before)
        for name in rebound:
            path, _, attribute = name.rpartition(".")
            place = place_of_attribute(layer.get_submodule(path), attribute)
            yield Finding(
                where=name,
                expected="the parameter object that an optimizer was given",
                found=f"after {when} in {'training' if training else 'eval'} mode {len(rebound)} "
                f"of {len(before)} parameters are other objects",
                fix="write into the parameter under torch.no_grad(), or compute a new tensor",
                file=place.file,
                line=place.line,
            )
        if rebound:
            return


def _rebound(layer: nn.Module, before: dict[str, nn.Parameter]) -> list[str]:
    """Return the names whose trained parameter is another object now."""
    now = dict(layer.named_parameters(remove_duplicate=False))
    return [
        name
        for name, item in before.items()
        if item.requires_grad and name in now and now[name] is not item
    ]
