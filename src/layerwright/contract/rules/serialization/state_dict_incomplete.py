"""SER004 state-dict-incomplete."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.attributes import held_outside
from layerwright.contract.evidence.layer_state import remembers
from layerwright.contract.evidence.refusals import in_words
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import Place, place_of_attribute


@rule(
    "SER004",
    "state-dict-incomplete",
    promise="state_dict carries all that the answers depend on",
    family="serialization",
    needs=("forward", "deterministic"),
    excused_by=("stateful",),
    explains=("SER006", "DST004"),
    since="0.1",
)
def state_dict_incomplete(probe: Probe) -> Iterator[Finding]:
    """Loads the state of one layer into another and compares the answers of the two.

    The two are copies, of which one got other parameters or a few training passes; and, if a second
    layer can be built, two that were built with different seeds.

    ## Why is this bad
    The loaded layer gives other answers than the one that was trained: validation was fine, the
    deployed network is not, and nothing raises.

    ## Bad
    ```python
    class RandomFeatures(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("directions", torch.randn(3, 8), persistent=False)

        def forward(self, x):
            return torch.cos(x @ self.directions)


    case = Case(RandomFeatures, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class RandomFeatures(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("directions", torch.randn(3, 8))

        def forward(self, x):
            return torch.cos(x @ self.directions)


    case = Case(RandomFeatures, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Register what is drawn or trained as a parameter or a persistent buffer, or return it from
    `get_extra_state`. Constants that the constructor computes equally each time may stay out.

    ## Limits
    What is drawn in the constructor is seen only where a second layer can be built. Layers whose
    answers depend on earlier calls in eval mode are not judged after training passes: what they
    remember may be theirs to forget.

    ## References
    - https://github.com/ACEsuit/mace/issues/1415: a float attribute
    - https://github.com/david-knigge/ccnn/issues/14: `persistent=False`
    """
    with torch.no_grad():
        finding = (
            _after_new_parameters(probe) or _built_twice(probe) or _after_training_passes(probe)
        )
    if finding is not None:
        yield finding


class _Unsaved(NamedTuple):
    words: str
    where: str
    place: Place


def _after_new_parameters(probe: Probe) -> Finding | None:
    source, target = probe.layer(), probe.layer()
    generator = torch.Generator().manual_seed(probe.seed)
    for parameter in source.parameters():
        if parameter.requires_grad and parameter.is_floating_point():
            noise = torch.rand(parameter.shape, generator=generator).to(parameter)
            parameter.mul_(1 + 0.2 * noise).add_(0.01 * noise)
    refused = _refused(source, target)
    if refused:
        place = probe.place()
        return Finding(
            where="load_state_dict",
            expected="the state of a copy is loaded",
            found=refused,
            fix="let state_dict and load_state_dict use the same names, shapes and extra state",
            file=place.file,
            line=place.line,
        )
    return _compared(
        probe, source, target, "a copy that loaded the state of the layer with new parameters"
    )


def _built_twice(probe: Probe) -> Finding | None:
    if probe.subject.build is None:
        return None
    try:
        source = probe.rebuild(training=True, seed=probe.seed + 1)
        target = probe.rebuild(training=True, seed=probe.seed + 2)
    except LayerRaised:
        return None
    if _refused(source, target):
        return None  # REG008 judges names that change
    return _compared(
        probe, source, target, "a second layer, built with another seed, that loaded the state"
    )


def _after_training_passes(probe: Probe) -> Finding | None:
    source, target = probe.layer(training=True), probe.layer(training=True)
    for seed in (1, 2):
        if probe.attempt(lambda seed=seed: probe.call(source, probe.other_inputs(seed))).raised:  # type: ignore[misc]
            return None
    if _refused(source, target):
        return None
    finding = _compared(
        probe, source, target, "a copy that loaded the state of the layer after training passes"
    )
    return None if finding is None or remembers(probe) else finding


def _refused(source: nn.Module, target: nn.Module) -> str:
    try:
        target.load_state_dict(source.state_dict())
    except Exception as error:  # noqa: BLE001 - a user's loading code may raise anything
        return in_words(error)
    return ""


def _compared(probe: Probe, source: nn.Module, target: nn.Module, what: str) -> Finding | None:
    source.eval()
    target.eval()
    expected = probe.attempt(lambda: probe.call(source))
    actual = probe.attempt(lambda: probe.call(target))
    if expected.raised:
        return None
    words = actual.raised.words if actual.raised else difference(expected.output, actual.output)
    if not words:
        return None
    unsaved = _unsaved(source, target)
    names = ", ".join(item.where for item in unsaved[:3])
    place = unsaved[0].place if unsaved else probe.place()
    return Finding(
        where=names or "state_dict",
        expected=f"equal answers of the layer and of {what}",
        found=f"{words}{'; ' + unsaved[0].words if unsaved else ''}",
        fix=(
            "register it with register_buffer or as nn.Parameter, or return it from get_extra_state"
            if unsaved
            else "let state_dict hold, and load_state_dict restore, all that forward reads"
        ),
        file=place.file,
        line=place.line,
    )


def _unsaved(source: nn.Module, target: nn.Module) -> list[_Unsaved]:
    """Return what differs between two layers although one loaded the state of the other."""
    one, other = dict(_values(source)), dict(_values(target))
    found = []
    for name, (module, attribute, value) in one.items():
        if name not in other:
            continue
        words = _differ(value, other[name][2])
        if words:
            found.append(
                _Unsaved(f"{name} differs: {words}", name, place_of_attribute(module, attribute))
            )
    return found


def _values(layer: nn.Module) -> Iterator[tuple[str, tuple[nn.Module, str, Any]]]:
    for path, module in layer.named_modules():
        prefix = f"{path}." if path else ""
        for kind in (module.named_parameters, module.named_buffers):
            for name, value in kind(recurse=False):
                yield prefix + name, (module, name, value)
    for held in held_outside(layer):
        if isinstance(held.value, Tensor | int | float | complex) and held.attribute != "training":
            yield held.name, (held.module, held.attribute, held.value)


def _differ(one: Any, other: Any) -> str | None:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return difference(one, other, exact=True)
    if isinstance(one, Tensor) or isinstance(other, Tensor) or one == other:
        return None
    return f"{other!r} instead of {one!r}"
