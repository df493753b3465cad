"""TRN005 update-ignored."""

import copy
from collections.abc import Iterator

import torch
from torch import nn

from layerwright.contract.batch import SAME
from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.gradients import projection
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import Place, place_of_attribute
from layerwright.contract.trees import is_float


@rule(
    "TRN005",
    "update-ignored",
    promise="after an optimizer step a used layer computes with its new parameters",
    family="training",
    needs=("forward", "train_forward", "parameters", "deterministic"),
    explains=("TRN003", "CMP002", "CMP007", "SER004", "PUR004"),
    excused_by=("stateful",),
    since="0.2",
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
    for used, when in ((False, "in training mode"), (True, "in eval mode")):
        words = _stale(probe, update=True, in_eval=used)
        if not words:
            continue
        if _stale(probe, update=False, in_eval=used):
            probe.skip("its answers depend on earlier calls, without any update too")
        name, place = _kept(probe)
        yield Finding(
            where=name or "forward",
            expected="the answer of an unused layer with the same parameters",
            found=f"after use and an update in place, {when}: {words}",
            fix=(f"compute {name} in each call" if name else "compute derived weights in each call")
            + ", or drop what is kept in train()",
            file=place.file,
            line=place.line,
        )
        return


def _stale(probe: Probe, *, update: bool, in_eval: bool) -> str | None:
    """Return how a used layer differs from a fresh one with its state, after an update."""
    layer = probe.layer()
    with torch.no_grad():
        probe.call(layer)
    layer.train()
    loss = projection(probe.call(layer), probe.seed)
    if loss is not None and loss.requires_grad:
        try:
            loss.backward()
        except RuntimeError as error:
            raise LayerRaised(error) from error
    if update:
        _update(layer, probe.seed)
    if in_eval:
        probe.call(layer)
        layer.eval()
    fresh = probe.layer(training=not in_eval)
    try:
        fresh.load_state_dict(copy.deepcopy(layer.state_dict()))
    except Exception as error:
        raise LayerRaised(error) from error
    with torch.no_grad():
        expected = probe.call(fresh)
        actual = probe.call(layer)
    return difference(expected, actual, tolerance=SAME)


def _update(layer: nn.Module, seed: int) -> None:
    # Not the seed of the constructor: the same numbers would only scale what it drew.
    generator = torch.Generator().manual_seed(seed + 7_919)
    with torch.no_grad():
        for item in layer.parameters():
            if item.requires_grad and is_float(item) and item.numel():
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
