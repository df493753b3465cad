"""TRN005 update-ignored."""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from layerwright.contract.batch import SAME
from layerwright.contract.comparing import difference
from layerwright.contract.evidence.named_parameters import parameters_by_name
from layerwright.contract.finding import Finding
from layerwright.contract.gradients import projection
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import Place, place_of_attribute
from layerwright.contract.trees import is_float

_MOST = 16  # parameters that are looked at one by one


@rule(
    "TRN005",
    "update-ignored",
    promise="after an optimizer step a used layer computes with its new parameters",
    family="training",
    needs=("forward", "train_forward", "parameters", "deterministic"),
    explains=("CMP002", "CMP007", "SER004", "PUR004"),
    excused_by=("stateful",),
    since="0.1",
)
def update_ignored(probe: Probe) -> Iterator[Finding]:
    """Uses a layer, changes its parameters in place as an optimizer does, and uses it again.

    The answer is compared with that of an unused layer with the same parameters.

    ## Why is this bad
    Weights that are derived once and kept, such as a normalised, merged or masked copy, are stale
    after the first step: training goes on and evaluates the layer as it was.

    ## Bad
    ```python
    class UnitLinear(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 5))
            self.unit = None

        def forward(self, x):
            if self.training:
                return F.linear(x, F.normalize(self.weight, dim=1))
            if self.unit is None:
                self.unit = F.normalize(self.weight, dim=1).detach()
            return F.linear(x, self.unit)


    case = Case(UnitLinear, inputs=(torch.randn(4, 5),))
    ```

    ## Good
    ```python
    class UnitLinear(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 5))

        def forward(self, x):
            return F.linear(x, F.normalize(self.weight, dim=1))


    case = Case(UnitLinear, inputs=(torch.randn(4, 5),))
    ```

    ## How to fix
    Compute derived weights in each call, or throw the kept ones away in `train()`:
    `def train(self, mode=True): self.unit = None; return super().train(mode)`.

    ## Limits
    The steps are those of a training: eval, train, update, train, eval. A layer that keeps weights
    and drops them in `train()` passes. So does one that answers by its history without any update.
    """
    names = [
        name
        for name, item in probe.layer().named_parameters()
        if item.requires_grad and is_float(item) and item.numel()
    ]
    for in_eval, mode in ((False, "training"), (True, "eval")):
        words = _stale(probe, names, in_eval=in_eval)
        if not words:
            continue
        if _stale(probe, [], in_eval=in_eval):
            probe.skip("its answers depend on earlier calls, without any update too")
        ignored = [name for name in names[:_MOST] if _ignored(probe, name, in_eval=in_eval)]
        if not ignored:
            probe.skip(f"an unused layer with its state answers otherwise ({words})")
        kept, place = _kept(probe)
        yield Finding(
            where=kept or ignored[0],
            expected=f"another answer after an update of {ignored[0]}, as of an unused layer",
            found=f"in {mode} mode it answers as before the update; with all parameters updated "
            f"{words}",
            fix=(f"compute {kept} in each call" if kept else "compute derived weights in each call")
            + ", or drop what is kept in train()",
            file=place.file,
            line=place.line,
        )
        return


def _answers(probe: Probe, names: list[str], *, in_eval: bool) -> tuple[Any, Any]:
    """Return what a fresh and a used layer with the same state say, after an update of these."""
    layer = probe.layer()
    with torch.no_grad():
        probe.call(layer)
    layer.train()
    loss = projection(probe.call(layer), probe.seed)
    if loss is not None and loss.requires_grad:
        try:
            loss.backward()
        except Exception as error:
            raise LayerRaised(error) from error
    _update(layer, names, probe.seed)
    if in_eval:
        probe.call(layer)
        layer.eval()
    fresh = probe.layer(training=not in_eval)
    try:
        fresh.load_state_dict(copy.deepcopy(layer.state_dict()))
    except Exception as error:
        raise LayerRaised(error) from error
    with torch.no_grad():
        return probe.call(fresh), probe.call(layer)


def _stale(probe: Probe, names: list[str], *, in_eval: bool) -> str | None:
    """Return how a used layer differs from a fresh one with its state."""
    return difference(*_answers(probe, names, in_eval=in_eval), tolerance=SAME)


def _ignored(probe: Probe, name: str, *, in_eval: bool) -> bool:
    """Tell whether an update of one parameter changes what a fresh layer says, and no used one."""
    fresh_before, used_before = _answers(probe, [], in_eval=in_eval)
    fresh, used = _answers(probe, [name], in_eval=in_eval)
    return (
        difference(fresh_before, fresh, tolerance=SAME) is not None
        and difference(used_before, used, tolerance=SAME) is None
    )


def _update(layer: nn.Module, names: list[str], seed: int) -> None:
    """Change parameters in place, as optimizers do."""
    # Not the seed of the constructor: the same numbers would only scale what it drew.
    generator = torch.Generator().manual_seed(seed + 7_919)
    parameters = parameters_by_name(layer)
    with torch.no_grad():
        for name in names:
            item = parameters[name]
            noise = torch.randn(item.shape, generator=generator).to(item)
            item.add_(0.2 * (item.abs().mean() + 0.1) * noise)


def _kept(probe: Probe) -> tuple[str, Place]:
    """Return the attribute that a first call sets, which probably holds what is stale."""
    layer = probe.layer()
    before = {path: dict(vars(module)) for path, module in layer.named_modules()}
    with torch.no_grad():
        probe.call(layer)
    for path, module in layer.named_modules():
        for name, value in vars(module).items():
            if before[path].get(name) is not value and not name.startswith("__"):
                place = place_of_attribute(module, name)
                return (f"{path}.{name}" if path else name), place
    return "", probe.place()
