"""Modules that nn.Module.__init__ never prepared, because super().__init__() was not called."""

from collections.abc import Iterator

from torch import nn

from layerwright.contract.evidence.attributes import held_outside


def unprepared(layer: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the parts of a layer, with their paths, that nn.Module.__init__ did not prepare."""
    waiting, seen = [("", layer)], set()
    while waiting:
        path, module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        if "_parameters" not in vars(module):
            yield path or "the layer", module
        for name, child in vars(module).get("_modules", {}).items():
            if child is not None:
                waiting.append((f"{path}.{name}" if path else name, child))
    if all("_modules" in vars(module) for module in _tree(layer)):
        for held in held_outside(layer):
            if isinstance(held.value, nn.Module) and "_parameters" not in vars(held.value):
                yield held.name, held.value


def _tree(layer: nn.Module) -> Iterator[nn.Module]:
    yield layer
    for child in vars(layer).get("_modules", {}).values():
        if child is not None:
            yield from _tree(child)
