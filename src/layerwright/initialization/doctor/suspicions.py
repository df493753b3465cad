"""What looks sick in the numbers. A suspicion becomes a finding only when a cure proves it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from layerwright.initialization.doctor.signals import LayerSignal, NetworkSignal

# Each is far from what sound networks show: an AlexNet as torch starts it keeps 1e-4 of the signal.
LOST_DEPENDENCE = 3e-6  # some twenty roundings of float32
LOST_GAIN = 1e-6
EXPLODED = 1e6
AMPLIFIED = 1e4
OUTLIER = 30.0  # of a layer's gain, against the median of the layers
SATURATED = 0.9
LARGE_INPUT = 10.0  # with it, saturation is a matter of the data and not of the first values
_CURED_SATURATION = 0.5
_FEWEST_LAYERS = 3  # of which a median says something


@dataclass(frozen=True)
class Suspicion:
    """What may be wrong.

    Attributes:
        kind: "not finite", "dead", "symmetric", "outlier", "signal lost", "exploding",
            "gradient explodes" or "saturated".
        layers: names of the layers it is seen in; empty where it is the whole network.
    """

    kind: str
    layers: tuple[str, ...] = ()


def suspicions(signal: NetworkSignal) -> list[Suspicion]:
    """Return what looks sick, the most telling first."""
    found = []
    if not signal.finite:
        first = next((layer.name for layer in signal.layers if not layer.finite), "")
        return [Suspicion("not finite", (first,) if first else ())]
    if names := _names(signal, lambda layer: layer.symmetric):
        found.append(Suspicion("symmetric", names))
    if names := _dead(signal):
        found.append(Suspicion("dead", names))
    if names := _outliers(signal):
        found.append(Suspicion("outlier", names))
    if _fades(signal):
        found.append(Suspicion("signal lost"))
    if signal.gain > EXPLODED:
        found.append(Suspicion("exploding"))
    elif max((layer.amplification or 0.0 for layer in signal.layers), default=0.0) > AMPLIFIED:
        found.append(Suspicion("gradient explodes"))
    names = tuple(
        layer.name
        for layer in signal.layers
        if layer.role == "activation" and (layer.saturated or 0.0) > SATURATED
    )
    if names and signal.input_scale < LARGE_INPUT:
        found.append(Suspicion("saturated", names))
    return found


def is_cured(suspicion: Suspicion, before: NetworkSignal, after: NetworkSignal) -> bool:
    """Tell whether the numbers after a cure demonstrate that something was wrong before.

    Each kind is judged where it hurts, which is the network's output and the gradients: a layer
    whose odd scale a normalisation behind it takes away improves nothing when it is cured.
    """
    return after.finite and _JUDGES[suspicion.kind](suspicion, before, after)


def _revived(suspicion: Suspicion, before: NetworkSignal, after: NetworkSignal) -> bool:
    if before.change == 0 and after.change == 0:
        return False
    return all((_weight_gradient(after, name) or 0.0) > 0 for name in suspicion.layers)


def _told_apart(suspicion: Suspicion, _before: NetworkSignal, after: NetworkSignal) -> bool:
    rows = [after.find(name) for name in suspicion.layers]
    return not any(row is None or row.symmetric for row in rows) and after.change > 0


def _louder(_suspicion: Suspicion, before: NetworkSignal, after: NetworkSignal) -> bool:
    """The output follows the input 100 times more, and so do the weakest gradients 10 times."""
    follows = max(_ratio(after.dependence, before.dependence), _ratio(after.gain, before.gain))
    return follows > 100 and _ratio(_weakest(after), _weakest(before)) > 10


def _in_line(suspicion: Suspicion, before: NetworkSignal, after: NetworkSignal) -> bool:
    """A layer's gain and the signal at the network's output become those of its peers."""
    small = [name for name in suspicion.layers if _gain(before, name) < _gain(after, name)]
    if _outliers(after):
        return False
    if small:
        follows = max(_ratio(after.dependence, before.dependence), _ratio(after.gain, before.gain))
        upstream = _upstream(before, small[0])
        gradients = [
            _ratio(_weight_gradient(after, name), _weight_gradient(before, name))
            for name in upstream
        ]
        return follows > OUTLIER / 2 and (not gradients or median(gradients) > OUTLIER / 3)
    opened = any(
        (layer.saturated or 0.0) > 0.75 and (now := after.find(layer.name)) is not None
        and (now.saturated or 0.0) < _CURED_SATURATION
        for layer in before.layers
    )  # fmt: skip
    return opened or _ratio(before.gain, after.gain) > OUTLIER / 2


def _calmer(_suspicion: Suspicion, before: NetworkSignal, after: NetworkSignal) -> bool:
    return not before.finite or _ratio(before.gain, after.gain) > 1e3


def _less_amplified(_suspicion: Suspicion, before: NetworkSignal, after: NetworkSignal) -> bool:
    most = [max(layer.amplification or 0.0 for layer in item.layers) for item in (before, after)]
    return _ratio(most[0], most[1]) > 100


def _opened(suspicion: Suspicion, _before: NetworkSignal, after: NetworkSignal) -> bool:
    rows = [after.find(name) for name in suspicion.layers]
    return all(row is not None and (row.saturated or 0.0) < _CURED_SATURATION for row in rows)


_JUDGES: dict[str, Callable[[Suspicion, NetworkSignal, NetworkSignal], bool]] = {
    "not finite": _calmer,
    "dead": _revived,
    "symmetric": _told_apart,
    "outlier": _in_line,
    "signal lost": _louder,
    "exploding": _calmer,
    "gradient explodes": _less_amplified,
    "saturated": _opened,
}


def _fades(signal: NetworkSignal) -> bool:
    """Tell whether the signal gets lost on its way; a last layer of zeros ends it at once."""
    if signal.dependence == 0:
        return any(0 < layer.dependence < LOST_DEPENDENCE for layer in signal.weighted())
    return signal.dependence < LOST_DEPENDENCE or 0 < signal.gain < LOST_GAIN


def _names(signal: NetworkSignal, wanted: Callable[[LayerSignal], bool]) -> tuple[str, ...]:
    return tuple(layer.name for layer in signal.weighted() if wanted(layer))


def _dead(signal: NetworkSignal) -> tuple[str, ...]:
    """Return the layers that no gradient reaches; where one of them ends the signal, that one.

    Without a signal behind it, a layer leaves all others without a gradient too.
    """
    names = _names(signal, lambda layer: layer.weight_gradient == 0.0)
    last = ""
    for layer in signal.layers:
        last = layer.name if layer.role == "layer" else last
        if layer.change == 0 and names and signal.change == 0 and last:
            return (last,)
    return names


def _outliers(signal: NetworkSignal) -> tuple[str, ...]:
    """Layers inside the network whose gain is far from the others'.

    The last ones are not judged: small scores are sound, and the scale of scores is the user's.
    """
    gains = {
        layer.name: math.log(layer.gain)
        for layer in signal.weighted()
        if layer.gain is not None and layer.gain > 0 and not layer.final
    }
    if len(gains) < _FEWEST_LAYERS:
        return ()
    middle = median(gains.values())
    return tuple(name for name, gain in gains.items() if abs(gain - middle) > math.log(OUTLIER))


def _upstream(signal: NetworkSignal, name: str) -> list[str]:
    names = [layer.name for layer in signal.weighted()]
    return names[: names.index(name)]


def _gain(signal: NetworkSignal, name: str) -> float:
    row = signal.find(name)
    return (row.gain or 0.0) if row else 0.0


def _weight_gradient(signal: NetworkSignal, name: str) -> float | None:
    row = signal.find(name)
    return row.weight_gradient if row else None


def _weakest(signal: NetworkSignal) -> float:
    grads = [layer.weight_gradient for layer in signal.weighted() if layer.weight_gradient]
    return min(grads, default=0.0)


def _ratio(above: float | None, below: float | None) -> float:
    above, below = above or 0.0, below or 0.0
    return above / below if below else (math.inf if above else 0.0)
