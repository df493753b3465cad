"""REG007 module-created-in-forward."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import torch
from torch import nn

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.attributes import held_outside
from layerwright.contract.finding import Finding
from layerwright.contract.gradients import projection
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import Place, place_of_call
from layerwright.contract.torch_compat.graph import leaves_of


@dataclass
class _Call:
    """A forward pass, and the modules that were made in it."""

    output: Any = None
    created: list[tuple[nn.Module, Place]] = field(default_factory=list)

    def tops(self) -> list[tuple[nn.Module, Place]]:
        """Return the created modules that are part of no other created one."""
        inner = {id(part) for module, _ in self.created for part in list(module.modules())[1:]}
        return [(module, place) for module, place in self.created if id(module) not in inner]


@rule(
    "REG007",
    "module-created-in-forward",
    promise="parameters are made once, by the constructor, and not by each call",
    family="registration",
    explains=(
        "PUR004", "PUR005", "PUR011", "MOD001", "MOD002", "SER004", "SER006", "REG008", "REG012",
        "DEV001", "DTY001", "DTY002", "BAT001", "BAT002", "BAT003", "INI004", "CMP001",
        "CMP002", "CMP003", "CMP005", "CMP008", "PRF004", "GRD001", "GRD005",
        "NET002", "TRN001",
    ),
    since="0.1",
)  # fmt: skip
def module_created_in_forward(probe: Probe) -> Iterator[Finding]:
    """Watches the second call for new modules, and what their weights and flags do to the output.

    ## Why is this bad
    What a call creates, the next call does not know: its weights are drawn anew each time, no
    optimizer ever sees them, and a new `nn.Dropout` is in training mode whatever `eval()` said.

    ## Bad
    ```python
    class Head(nn.Module):
        def forward(self, x):
            return nn.Linear(x.shape[-1], 2)(x)


    case = Case(Head, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Head(nn.Module):
        def __init__(self, in_features=3):
            super().__init__()
            self.proj = nn.Linear(in_features, 2)

        def forward(self, x):
            return self.proj(x)


    case = Case(Head, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Make the module in `__init__`; `nn.LazyLinear` when its width is not known there. For dropout
    in forward write `F.dropout(x, p, self.training)`.

    ## Limits
    Modules without parameters and without a training mode, such as `nn.Softmax(dim=-1)`, may be
    made in forward. So may what the first call alone makes.
    """
    layer = probe.layer(training=True)
    try:
        first, second = _watched(probe, layer), _watched(probe, layer)
    except LayerRaised:
        return
    known = {id(item) for item in layer.parameters()}
    known |= {id(held.value) for held in held_outside(layer)}
    weights = {
        id(item): (type(module).__name__, place)
        for module, place in second.tops()
        for item in module.parameters()
        if id(item) not in known
    }
    before = {id(leaf) for leaf in leaves_of(first.output)}
    leaves = [
        leaf
        for leaf in leaves_of(second.output)
        if isinstance(leaf, nn.Parameter) and id(leaf) not in known | before
    ]
    found: dict[tuple[str, Place], int] = {}
    for leaf in _reached(second.output, leaves):
        key = weights.get(id(leaf), ("nn.Parameter", Place()))
        found[key] = found.get(key, 0) + leaf.numel()
    random = _differs_by_seed(probe) if found else None
    for (kind, place), count in found.items():
        yield Finding(
            where=f"forward, a new {kind}",
            expected="parameters that the constructor makes and an optimizer can know",
            found=f"each call makes {count} trained values of a {kind}"
            + (f"; two seeds give two answers in eval mode: {random}" if random else ""),
            fix="make it in __init__ and keep it on self",
            severity=None if random else "warning",
            file=place.file,
            line=place.line,
        )
    if not found:
        yield from _deaf(probe)


def _deaf(probe: Probe) -> Iterator[Finding]:
    """Look for created modules that should have heard of eval()."""
    with torch.no_grad():
        layer = probe.layer()
        probe.call(layer)
        call = _watched(probe, layer)
        if not call.created:
            return
        words = difference(_watched(probe, layer, deaf=False).output, call.output)
    for module, place in call.tops():
        if words and not any(module.parameters()):
            yield Finding(
                where=f"forward, a new {type(module).__name__}",
                expected="a module that follows eval()",
                found=f"it is in training mode in each call, also after eval(): {words}",
                fix="make it in __init__ and keep it on self, or use torch.nn.functional with "
                "self.training",
                file=place.file,
                line=place.line,
            )
            return


def _watched(probe: Probe, layer: nn.Module, *, deaf: bool = True) -> _Call:
    """Call a layer and note the modules that it makes."""
    call = _Call()
    prepare = nn.Module.__init__

    def noted(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        prepare(self, *args, **kwargs)
        self.training = deaf
        call.created.append((self, place_of_call()))

    with patch.object(nn.Module, "__init__", noted):
        call.output = probe.call(layer)
    return call


def _reached(output: Any, leaves: list[Any]) -> list[Any]:
    """Return those of the leaves that a backward pass sends gradients to."""
    loss = projection(output)
    if loss is None or not leaves:
        return []
    try:
        grads = torch.autograd.grad(loss, leaves, allow_unused=True)
    except RuntimeError:  # a backward pass that fails is another rule's
        return []
    return [leaf for leaf, grad in zip(leaves, grads, strict=True) if grad is not None]


def _differs_by_seed(probe: Probe) -> str | None:
    with torch.no_grad():
        layer = probe.layer()
        return difference(
            probe.call(layer, seed=probe.seed), probe.call(layer, seed=probe.seed + 1)
        )
