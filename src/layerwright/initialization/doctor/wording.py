"""The doctor's words: which layer, which numbers, and what a cure changes."""

import math
from statistics import median
from textwrap import fill
from typing import TYPE_CHECKING

from layerwright.initialization.doctor.signals import LayerSignal, NetworkSignal
from layerwright.initialization.doctor.suspicions import LOST_DEPENDENCE, LOST_GAIN, Suspicion

if TYPE_CHECKING:
    from layerwright.initialization.doctor.diagnosis import InitializationDiagnosis

_WIDTH = 100
_NO_RECIPE = (
    "  no recipe cures it: fewer layers, residual connections, normalisation or another activation"
    " may"
)


def number(value: float | None) -> str:
    """Return a number with two digits, such as 0.58, 12 or 3e-07; "-" for none."""
    if value is None:
        return "-"
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.0f}" if 100 <= value < 1e4 else f"{value:.2g}"


def finding_in_words(suspicion: Suspicion, signal: NetworkSignal) -> tuple[str, str]:
    """Return the layer to name, and the numbers that show what is wrong with it."""
    rows = [row for name in suspicion.layers if (row := signal.find(name)) is not None]
    layer = rows[0].name if rows else ""
    named = _named(rows[0]) if rows else "the output"
    named += f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    words = {
        "not finite": lambda: f"values or gradients overflow, first in {named}",
        "dead": lambda: _dead(rows, named, signal),
        "symmetric": lambda: (
            f"all units of {named} start from equal weights and get equal gradients: they stay "
            "one unit"
        ),
        "outlier": lambda: _outlier(rows, signal),
        "exploding": lambda: (
            f"the signal grows to {number(signal.gain)} times the input's; each layer multiplies "
            f"it by {number(_step(signal))}"
        ),
        "gradient explodes": lambda: _explosion(signal),
        "saturated": lambda: (
            f"{rows[0].saturated or 0:.0%} of the values of {named} lie where it is flat, "
            "so that no gradient passes"
        ),
    }
    if suspicion.kind == "signal lost":
        return _lost(signal)
    if suspicion.kind == "gradient explodes" and not layer:
        layer = _most_amplified(signal).name
    return layer, words[suspicion.kind]()


def remedy_in_words(suspicion: Suspicion, layer: str, after: NetworkSignal) -> str:
    """Return the numbers after a cure."""
    said = [f"{number(after.dependence)} of the output depends on the input"]
    weights = [item.weight_gradient for item in after.weighted() if item.weight_gradient]
    row = after.find(layer)
    if suspicion.kind == "outlier" and row is not None:
        said.append(f"{layer} multiplies the signal by {number(row.gain)}")
    elif suspicion.kind == "saturated" and row is not None:
        said.append(f"{row.saturated or 0:.0%} of the values of {layer} are saturated")
    elif suspicion.kind in ("exploding", "not finite"):
        said.append(f"a change of the input arrives {number(after.gain)} times as large")
    if weights:
        said.append(
            f"gradients of the layers' weights lie between {number(min(weights))} and "
            f"{number(max(weights))}"
        )
    return ", ".join(said)


def verdict_of(diagnosis: "InitializationDiagnosis") -> str:
    """Return the verdict on a network in a few lines."""
    before = diagnosis.before
    lines = []
    for finding in diagnosis.findings:
        lines.append(_filled(f"sick ({finding.kind}): {finding.found}"))
        does = "cure" if finding.cured else "helps, and is no cure"
        lines.append(f"  {does}, tried on a copy: {finding.cure}")
        lines.append(_filled(f"  then {finding.after}"))
        if not finding.cured and finding.kind == "signal lost":
            lines.append(_filled(_NO_RECIPE))
    if not lines:
        said = f"{number(before.dependence)} of the output depends on the input"
        grads = [item.weight_gradient for item in before.weighted() if item.weight_gradient]
        if grads:
            said += f", gradients of the layers' weights lie between {number(min(grads))} and "
            said += number(max(grads))
        lines.append(_filled(f"nothing sick found: {said}"))
    lines.extend(_filled(f"note: {note}") for note in diagnosis.notes)
    return "\n".join(lines)


def _filled(text: str) -> str:
    return fill(text, _WIDTH, subsequent_indent="  ", break_long_words=False)


def _named(layer: LayerSignal) -> str:
    return f"{layer.name} ({layer.kind})"


def _dead(rows: list[LayerSignal], named: str, signal: NetworkSignal) -> str:
    layers = list(signal.layers)
    behind = layers[layers.index(rows[0]) :]
    killer = next((item for item in behind if item.role == "activation" and item.dead == 1), None)
    why = f": all units of {_named(killer)} are zero for every sample" if killer else ""
    if signal.change == 0:
        return f"the signal ends at {named}, now and after steps of training{why}"
    return f"no gradient reaches the weights of {named}, now or after steps of training{why}"


def _outlier(rows: list[LayerSignal], signal: NetworkSignal) -> str:
    said = [f"{_named(row)} multiplies the signal by {number(row.gain)}" for row in rows[:3]]
    more = f" and {len(rows) - 3} more do so" if len(rows) > 3 else ""
    return (
        f"{', '.join(said)}{more}, the median layer by {number(_step(signal))}; {_arrives(signal)}"
    )


def _arrives(signal: NetworkSignal) -> str:
    return (
        f"{number(signal.dependence)} of the network's output depends on the input, and a change "
        f"of the input arrives there {number(signal.gain)} times as large"
    )


def _explosion(signal: NetworkSignal) -> str:
    layer = _most_amplified(signal)
    return (
        f"gradients grow on their way back through the layers, from 1 at the output to "
        f"{number(layer.gradient)} at {_named(layer)}, and promise changes of the output "
        f"{number(layer.amplification)} times as large as those that come"
    )


def _lost(signal: NetworkSignal) -> tuple[str, str]:
    """Say where the signal falls below what counts, and how it came to that."""
    layers = signal.weighted()
    start = next((layer.change for layer in signal.layers if layer.change > 0), 1.0)
    where = next(
        (
            layer
            for layer in layers
            if layer.dependence < LOST_DEPENDENCE or layer.change < LOST_GAIN * start
        ),
        layers[-1],
    )
    said = (
        f"each of {len(layers)} layers passes on {number(_step(signal))} of the signal, from "
        f"{_named(where)} on it is lost: {_arrives(signal)}"
    )
    grads = [(item.weight_gradient, _named(item)) for item in layers if item.weight_gradient]
    if grads:
        weakest, name = min(grads)
        said += f"; the gradient of the weights of {name} is {number(weakest)}, at the output 1"
    return where.name, said


def _most_amplified(signal: NetworkSignal) -> LayerSignal:
    return max(signal.layers, key=lambda layer: layer.amplification or 0.0)


def _step(signal: NetworkSignal) -> float | None:
    gains = [layer.gain for layer in signal.weighted() if layer.gain is not None]
    return median(gains) if gains else None
