"""What a layer remembers between calls: parameters, buffers, plain tensors and numbers."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.attributes import held_outside
from layerwright.contract.probe import Probe
from layerwright.contract.source import Place, place_of_attribute
from layerwright.contract.torch_compat.dispatch import OpRecorder


class Part(NamedTuple):
    """A tensor or number of a layer's state, and who owns it."""

    owner: nn.Module
    attribute: str
    tensor: Tensor

    @property
    def place(self) -> Place:
        """The line that sets it."""
        return place_of_attribute(self.owner, self.attribute)


def parameters_of(layer: nn.Module) -> dict[str, Part]:
    """Return clones of all parameters by name."""
    return {name: _cloned(part) for name, part in _registered(layer, "parameters")}


def memory_of(layer: nn.Module) -> dict[str, Part]:
    """Return clones of all buffers, plain tensors and numbers by name."""
    found = {name: _cloned(part) for name, part in _registered(layer, "buffers")}
    for held in held_outside(layer):
        if held.via == "class":
            continue
        if isinstance(held.value, Tensor) and not isinstance(held.value, nn.Parameter):
            found[held.name] = _cloned(Part(held.module, held.attribute, held.value))
        elif isinstance(held.value, float) and held.via == "attribute":
            number = torch.tensor(held.value, dtype=torch.float64)
            found[held.name] = Part(held.module, held.attribute, number)
    return found


def changes(before: dict[str, Part], after: dict[str, Part]) -> dict[str, str]:
    """Return, for each part of both states that differs, how it does."""
    found = {}
    for name, part in after.items():
        if name in before:
            words = difference(before[name].tensor, part.tensor)
            if words:
                found[name] = words
    return found


def remembers(probe: Probe) -> bool:
    """Tell whether an answer in eval mode depends on the calls before it."""
    layer = probe.layer()
    with torch.no_grad():
        first = probe.attempt(lambda: probe.call(layer))
        probe.attempt(lambda: probe.call(layer, probe.other_inputs()))
        again = probe.attempt(lambda: probe.call(layer))
    if first.raised or again.raised:
        return True
    return difference(first.output, again.output) is not None


def place_of_write(probe: Probe, layer: nn.Module, tensor: Tensor) -> Place:
    """Return the line of the user's code that writes into a tensor of a layer when it is called."""
    recorder = OpRecorder()
    with recorder:
        probe.attempt(lambda: probe.call(layer))
    pointer = tensor.data_ptr()
    for call in recorder.calls:
        name = call.name.split("::")[-1].split(".")[0]
        written = [item for item in call.args[:1] if isinstance(item, Tensor)]
        if name.endswith("_") and any(item.data_ptr() == pointer for item in written):
            return call.place
    return Place()


def _registered(layer: nn.Module, kind: str) -> Iterator[tuple[str, Part]]:
    for path, module in layer.named_modules():
        for name, tensor in getattr(module, f"named_{kind}")(recurse=False):
            yield f"{path}.{name}" if path else name, Part(module, name, tensor)


def _cloned(part: Part) -> Part:
    return part._replace(tensor=part.tensor.detach().clone())
