"""PUR007 direct-forward-call."""

import inspect
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import Place


@rule(
    "PUR007",
    "direct-forward-call",
    promise="parts of the layer are called, so that their hooks run",
    family="purity",
    severity="warning",
    since="0.1",
)
def direct_forward_call(probe: Probe) -> Iterator[Finding]:
    """Counts, for each part of the layer, the calls of its `forward` that bypass its hooks.

    ## Why is this bad
    `part.forward(x)` skips what `part(x)` does besides: forward hooks, and with them weight
    normalisation, FSDP's gathering of parameters, profilers and feature extractors. Nothing fails
    until one of them is there.

    ## Bad
    ```python
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return x + self.linear.forward(x)


    case = Case(Block, inputs=(torch.randn(3, 4),))
    ```

    ## Good
    ```python
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(4, 4)

        def forward(self, x):
            return x + self.linear(x)


    case = Case(Block, inputs=(torch.randn(3, 4),))
    ```

    ## How to fix
    Call the part: `self.linear(x)`.

    ## Limits
    A class that calls its base class's forward, or a part that calls its own, is fine. Compiled
    and scripted parts are left out.

    ## References
    - https://github.com/mlfoundations/open_flamingo/issues/91: FSDP and a direct forward call
    - https://github.com/NVIDIA/Megatron-LM/issues/5789: hooks that never ran
    - https://github.com/pytorch/pytorch/issues/109385: hooks and forward
    """
    for training in (False, True):
        watch = _Watch(probe.layer(training=training))
        try:
            with torch.no_grad():
                probe.call(watch.layer)
        except LayerRaised:
            continue
        for name, count in watch.direct.items():
            place = watch.places[name]
            yield Finding(
                where=name,
                expected=f"{name}(...), which runs its hooks",
                found=f"{count} call{'s' if count > 1 else ''} of {name}.forward in one pass",
                fix="call the part itself, without .forward",
                file=place.file,
                line=place.line,
            )
        if watch.direct:
            return


class _Watch:
    """Counts direct calls of forward of all parts of a layer."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        self.direct: Counter[str] = Counter()
        self.places: dict[str, Place] = {}
        self._announced: Counter[str] = Counter()
        compiled: list[str] = []
        for name, part in layer.named_modules():
            if part is layer or name.startswith(tuple(compiled)):
                continue
            if not _is_plain(part):
                compiled.append(f"{name}.")
                continue
            part.register_forward_pre_hook(self._announce(name))
            part.forward = self._counted(name, part, part.forward)

    def _announce(self, name: str) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            self._announced[name] += 1

        return hook

    def _counted(
        self, name: str, part: nn.Module, forward: Callable[..., Any]
    ) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self._announced[name]:
                self._announced[name] -= 1
                return forward(*args, **kwargs)
            caller = sys._getframe(1)  # noqa: SLF001 - inspect.stack reads every file
            if caller.f_locals.get("self") is not part:
                self.direct[name] += 1
                place = Place(caller.f_code.co_filename, caller.f_lineno)
                self.places.setdefault(name, place)
            return forward(*args, **kwargs)

        return counted


def _is_plain(part: nn.Module) -> bool:
    """Tell whether its forward is its class's own, not one that a compiler put in its place."""
    forward = getattr(part, "forward", None)
    return inspect.ismethod(forward) and forward.__func__ is type(part).forward
