"""What the numbers of a pass say in words: the first layer that dies or explodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from layerwright.initialization.doctor.wording import number
from layerwright.inspection.trace_statistics import LayerStatistics

# Far from what sound networks show; the init doctor judges with the same figures, on more passes.
LOST_SIGNAL = 3e-6  # of the output differs between samples: some twenty roundings of float32
LOST_GRADIENT = 1e-6  # of the gradient at the network's output
EXPLODED = 1e6  # times the input
AMPLIFIED = 1e4  # gradient times signal, against those at the output
SATURATED = 0.9


@dataclass(frozen=True)
class Trouble:
    """A layer that dies or explodes.

    Attributes:
        kind: "not finite", "explodes", "dead", "signal lost", "gradient vanishes" or
            "gradient explodes".
        layer: its name.
        text: what was measured, in words.
    """

    kind: str
    layer: str
    text: str

    @property
    def lasting(self) -> bool:
        """Whether one batch is enough to say so; units may be off for one batch by chance."""
        return self.kind in ("not finite", "explodes", "gradient explodes")


def troubles(layers: Sequence[LayerStatistics]) -> list[Trouble]:
    """Return the first layer of each kind of trouble, the most telling kind first.

    Args:
        layers: of one pass, in call order, with the network's input and output at the ends.
    """
    for judge in (_not_finite, _dead):  # which leave nothing to say of the layers around
        if (found := judge(layers)) is not None:
            return [found]
    judges = (_explodes, _signal_lost, _gradient_vanishes, _gradient_explodes)
    return [found for judge in judges if (found := judge(layers)) is not None]


def saturated_layer(layers: Sequence[LayerStatistics]) -> LayerStatistics | None:
    """Return the first activation of which nearly all is flat, if layers come after it.

    That is no trouble by itself: a gate that is open for every sample is saturated too.
    """
    places = [place for place, layer in enumerate(layers) if layer.role == "layer"]
    inner = layers[: places[-1]] if places else ()
    return next((layer for layer in inner if (layer.saturated or 0.0) > SATURATED), None)


def _not_finite(layers: Sequence[LayerStatistics]) -> Trouble | None:
    for layer in layers:
        if not layer.finite:
            text = f"{_named(layer)} is the first whose values are NaN or infinite"
            return Trouble("not finite", layer.name, text)
    for layer in reversed(layers):
        if layer.gradient_finite is False:
            text = f"gradients are NaN or infinite from {_named(layer)} backwards"
            return Trouble("not finite", layer.name, text)
    return None


def _explodes(layers: Sequence[LayerStatistics]) -> Trouble | None:
    """The scale of scores is the user's: what only the output sees is not judged."""
    given = max((layer.scale or 0.0 for layer in layers if layer.role == "input"), default=0.0)
    reference = max(given, 1.0)
    for layer in layers:
        scale = layer.scale or 0.0
        if layer.role == "layer" and not layer.final and scale > EXPLODED * reference:
            at = f" where the input's are {number(given)}" if given else ""
            text = f"{_named(layer)} explodes: its values are about {number(scale)}{at}"
            return Trouble("explodes", layer.name, text)
    return None


def _dead(layers: Sequence[LayerStatistics]) -> Trouble | None:
    before = None
    for layer in layers:
        if layer.role == "layer":
            before = layer
        if layer.role == "activation" and layer.dead == 1.0:
            fed = f", called after {_named(before)}," if before and ":" not in layer.name else ""
            text = f"{_named(layer)}{fed} is dead: all its units are zero for every sample"
            return Trouble("dead", layer.name, text)
    return None


def _signal_lost(layers: Sequence[LayerStatistics]) -> Trouble | None:
    """Judged by the network's output: a layer that sees the same in each sample is sound."""
    output = next((layer for layer in layers if layer.role == "output"), None)
    start = next((layer.varying for layer in layers if layer.varying is not None), None)
    if output is None or output.varying is None or output.varying >= LOST_SIGNAL:
        return None
    if not start or start < LOST_SIGNAL:
        return None  # the samples are equal
    inner = [layer for layer in layers if layer.role != "input" and layer.varying is not None]
    lost = next(layer for layer in inner if (layer.varying or 0.0) < LOST_SIGNAL)
    if _starts_at_zero(lost):
        return None
    text = (
        f"the signal ends at {_named(lost)}: {number(lost.varying)} of its output differs from "
        f"sample to sample, at the network's output {number(output.varying)}"
    )
    return Trouble("signal lost", lost.name, text)


def _gradient_vanishes(layers: Sequence[LayerStatistics]) -> Trouble | None:
    """Judged by the first layers: a branch that hardly counts gets little gradient, and is sound.

    A layer of zeros passes none on, until its own first step.
    """
    reference = _gradient_at_output(layers)
    known = [x for x in layers if x.role in ("layer", "table") and x.gradient_norm is not None]
    if not reference or any(_starts_at_zero(layer) for layer in known):
        return None
    least = LOST_GRADIENT * reference
    starved = list(takewhile(lambda layer: (layer.gradient_norm or 0.0) < least, known))
    if not starved:
        return None
    last = starved[-1]
    more = f", and less at the {len(starved) - 1} before it" if len(starved) > 1 else ""
    share = (last.gradient_norm or 0.0) / reference
    text = f"the gradient vanishes: {number(share)} of that at the output arrives at {_named(last)}"
    return Trouble("gradient vanishes", last.name, text + more)


def _gradient_explodes(layers: Sequence[LayerStatistics]) -> Trouble | None:
    """A gradient grows where the signal shrinks, which is sound: their product is judged."""
    reference = _gradient_at_output(layers)
    output = next((layer for layer in layers if layer.role == "output"), None)
    if output is None or not reference or not (moved := _moved(output)):
        return None
    for layer in reversed(layers):
        if layer.role != "layer" or layer.final or not layer.gradient_norm:
            continue
        promised = layer.gradient_norm * _moved(layer) * output.num_values**0.5
        if promised > AMPLIFIED * reference * moved:
            grown = layer.gradient_norm / reference
            text = f"the gradient explodes: at {_named(layer)} it is {number(grown)} times as "
            return Trouble("gradient explodes", layer.name, text + "large as at the output")
    return None


def _gradient_at_output(layers: Sequence[LayerStatistics]) -> float | None:
    return next((layer.gradient_norm for layer in layers if layer.role == "output"), None)


def _moved(layer: LayerStatistics) -> float:
    return (layer.varying or 0.0) * (layer.scale or 0.0)


def _starts_at_zero(layer: LayerStatistics) -> bool:
    """Whether all weights are zero and learn: the first step of training changes that."""
    return layer.weight == 0.0 and (layer.gradient_norm or 0.0) > 0.0


def _named(layer: LayerStatistics) -> str:
    return f"{layer.name} ({layer.kind})" if layer.kind and ":" not in layer.name else layer.name
