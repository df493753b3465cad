"""What of a layer is used: which parts run, and which parameters nothing reads."""

import inspect
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.attributes import held_outside
from layerwright.contract.evidence.module_calls import recorded_calls
from layerwright.contract.evidence.named_parameters import parameters_by_name
from layerwright.contract.gradients import projection
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised
from layerwright.contract.source import Place, is_users, place_of_attribute, place_of_class
from layerwright.contract.trees import Inputs, is_float

_TRIES = 4
_CHOICES = 16  # numbers that are tried for an optional argument
_MOVES = 12  # times that inputs and parameters are drawn anew


def parts_that_ran(probe: Probe) -> set[str]:
    """Return the paths of all parts that run in eval or training mode, on several inputs.

    Raises:
        LayerRaised: forward raises in eval mode.
    """
    ran: set[str] = set()
    for training in (False, True):
        for inputs in (probe.inputs(), *_others(probe)):
            layer = probe.layer(training=training)
            known = {id(module): path for path, module in layer.named_modules()}
            with torch.no_grad(), recorded_calls(layer) as calls:
                attempt = probe.attempt(lambda layer=layer, x=inputs: probe.call(layer, x))  # type: ignore[misc]
            if attempt.raised is not None and not ran:
                raise attempt.raised
            ran.update(known[id(call.module)] for call in calls.begun)
            if len(ran) == len(known):
                return ran
    return ran


class _Asked(dict[str, Any]):
    """The parameters of a module, which note the ones that are asked for by name."""

    def __init__(self, parameters: Mapping[str, Any], path: str, asked: set[str]) -> None:
        super().__init__(parameters)
        self._start = f"{path}." if path else ""
        self._asked = asked

    def __getitem__(self, name: str) -> Any:
        self._asked.add(f"{self._start}{name}")
        return super().__getitem__(name)


def parameters_asked_for(probe: Probe) -> set[str]:
    """Return the names of the parameters that code asks a module for, in eval or training mode.

    Those that torch's own kernels get from elsewhere, as `nn.LSTM` hands them over, are not seen.
    """
    asked: set[str] = set()
    for training in (False, True):
        for inputs in (probe.inputs(), *_others(probe)):
            layer = probe.layer(training=training)
            for path, module in layer.named_modules():
                if type(vars(module).get("_parameters")) is dict:  # a scripted part has another
                    vars(module)["_parameters"] = _Asked(vars(module)["_parameters"], path, asked)
            with torch.no_grad():
                probe.attempt(lambda layer=layer, x=inputs: probe.call(layer, x))  # type: ignore[misc]
    return asked


def parts_that_may_run(probe: Probe) -> set[str]:
    """Return the paths of the parts that run under other numbers, other inputs or parameters.

    Other numbers are those of optional arguments, such as `forward(self, x, index=0)`: flags are
    turned round, counts are tried in order. Other parameters send inputs to other experts.
    """
    ran = _parts_by_number(probe)
    for seed in range(_MOVES):
        layer = probe.layer()
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for item in layer.parameters():
                if item.is_floating_point():
                    noise = torch.randn(item.shape, generator=generator).to(item)
                    item.add_(noise * item.abs().mean().clamp(min=0.1))
        ran |= _parts_of(probe, layer, probe.other_inputs(seed + 1)) or set()
    return ran


def _parts_by_number(probe: Probe) -> set[str]:
    """Return the paths of the parts that run with other values of optional arguments."""
    inputs = probe.inputs()
    try:
        declared = inspect.signature(probe.subject.layer.forward).parameters.values()
    except (TypeError, ValueError):  # written in C
        return set()
    ran: set[str] = set()
    for item in list(declared)[len(inputs.args) :]:
        if item.name in inputs.kwargs or not isinstance(item.default, int):
            continue
        flag = isinstance(item.default, bool)
        for value in (not item.default,) if flag else range(_CHOICES):
            given = replace(probe.inputs(), kwargs={**inputs.kwargs, item.name: value})
            found = _parts_of(probe, probe.layer(), given)
            if found is None:  # counted to the end
                break
            ran |= found
    return ran


def _parts_of(probe: Probe, layer: nn.Module, inputs: Inputs) -> set[str] | None:
    """Return the paths of the parts that run in a call; None if it raises."""
    known = {id(module): path for path, module in layer.named_modules()}
    with torch.no_grad(), recorded_calls(layer) as calls:
        attempt = probe.attempt(lambda: probe.call(layer, inputs))
    return None if attempt.raised else {known[id(call.module)] for call in calls.begun}


def silent_part(layer: nn.Module, path: str, ran: set[str]) -> str:
    """Return the outermost part around a path that never ran, nor any part of it; "" if none."""
    names = path.split(".")
    for depth in range(1, len(names) + 1):
        part = ".".join(names[:depth])
        inside = part in ran or any(other.startswith(f"{part}.") for other in ran)
        if not inside and depth < len(names) + isinstance(_at(layer, part), nn.Module):
            return part
    return ""


def place_of_part(layer: nn.Module, path: str) -> Place:
    """Return the user's line that sets a part or a parameter, or the part around it."""
    while path:
        owner, _, own = path.rpartition(".")
        place = place_of_attribute(layer.get_submodule(owner), own)
        if place.file is not None and is_users(place.file):
            return place
        path = owner
    return place_of_class(type(layer))


def _at(layer: nn.Module, path: str) -> Any:
    owner, _, own = path.rpartition(".")
    return getattr(layer.get_submodule(owner), own)


def unread_parameters(probe: Probe, *, frozen: bool = False) -> list[str]:
    """Return the parameters that nothing reads: no gradient, no effect, in neither mode.

    A parameter that has a gradient, on any of several inputs, is read; so is one whose change
    changes an output, a buffer or an attribute.

    Args:
        probe: holds the layer; equal calls must give equal answers.
        frozen: look at parameters without `requires_grad`, too.
    """
    suspects = _on_examples(probe, frozen=frozen)
    return _on_others(probe, _without_effect(probe, suspects)) if suspects else []


def only_effective_parameters(probe: Probe) -> list[str]:
    """Return the trained parameters that get no gradient, on any input, and yet have an effect."""
    suspects = _on_examples(probe, frozen=False)
    if not suspects:
        return []
    unread = set(_without_effect(probe, suspects))
    return _on_others(probe, [name for name in suspects if name not in unread])


def _on_examples(probe: Probe, *, frozen: bool) -> list[str]:
    """Return the parameters that get no gradient on the example inputs, in neither mode; kept."""
    kept = _KEPT.setdefault(probe, {})
    if frozen in kept:
        return kept[frozen]
    suspects = [
        name
        for name, item in probe.layer().named_parameters()
        if item.numel() and is_float(item) and (item.requires_grad or frozen)
    ]
    for training in (True, False):
        if suspects:
            suspects = _without_gradient(probe, suspects, probe.inputs(), training=training)
    kept[frozen] = suspects
    return suspects


def _on_others(probe: Probe, suspects: list[str]) -> list[str]:
    """Return those that get no gradient on other inputs, either."""
    for inputs in _others(probe):
        with suppress(LayerRaised):  # other values may not be allowed
            suspects = _without_gradient(probe, suspects, inputs, training=True)
    return suspects


def _others(probe: Probe) -> list[Inputs]:
    return [probe.other_inputs(seed) for seed in range(1, _TRIES)]


def _without_gradient(
    probe: Probe, names: list[str], inputs: Inputs, *, training: bool
) -> list[str]:
    layer = probe.layer(training=training)
    parameters = parameters_by_name(layer)
    trained = {
        name: item for name in names if (item := parameters[name]).requires_grad and item.is_leaf
    }
    loss = projection(probe.call(layer, inputs), probe.seed)
    if loss is None or not trained:
        return names
    try:
        found = torch.autograd.grad(loss, list(trained.values()), allow_unused=True)
    except Exception as error:
        raise LayerRaised(error) from error
    reached = {name for name, grad in zip(trained, found, strict=True) if grad is not None}
    return [name for name in names if name not in reached]


def _without_effect(probe: Probe, names: list[str]) -> list[str]:
    """Return those of the parameters whose values change nothing that a call leaves behind."""
    if not names or not _has_effect(probe, names):
        return names
    if len(names) == 1:
        return []
    half = len(names) // 2
    return [*_without_effect(probe, names[:half]), *_without_effect(probe, names[half:])]


def _has_effect(probe: Probe, names: list[str]) -> bool:
    for training in (False, True):
        before = _trace(probe, {}, training=training)
        for factor, offset in ((1.5, 1.0), (-0.5, -1.0)):
            changes = dict.fromkeys(names, (factor, offset))
            after = _trace(probe, changes, training=training)
            if (before is None) != (after is None) or difference(before, after):
                return True
    return False


def _trace(
    probe: Probe, changes: Mapping[str, tuple[float, float]], *, training: bool
) -> list[Any] | None:
    """Return all that a call leaves behind: outputs, buffers, attributes; None if it raised."""
    layer = probe.layer(training=training)
    parameters = parameters_by_name(layer) if changes else {}
    with torch.no_grad():
        for name, (factor, offset) in changes.items():
            parameters[name].mul_(factor).add_(offset)
        attempt = probe.attempt(lambda: probe.call(layer))
    if attempt.raised is not None:
        return None
    return [attempt.output, dict(layer.named_buffers()), _held(layer)]


def _held(layer: nn.Module) -> list[Tensor]:
    own = {id(item) for item in (*layer.parameters(), *layer.buffers())}
    return [
        item.value
        for item in held_outside(layer)
        if isinstance(item.value, Tensor) and id(item.value) not in own
    ]


_KEPT: "WeakKeyDictionary[Probe, dict[bool, list[str]]]" = WeakKeyDictionary()
