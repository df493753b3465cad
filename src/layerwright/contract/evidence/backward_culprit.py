"""The step of a backward pass that makes NaN, with the line of forward behind it."""

import re
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from layerwright.contract.gradients import Gradients
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, Skip
from layerwright.contract.source import Place, is_users
from layerwright.contract.trees import Inputs, named_tensors

_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_STEP = re.compile(r"Function '(\w+)' returned nan")


class Culprit(NamedTuple):
    """Where NaN comes up first; "" and an unknown place when there is none, or infinity only."""

    step: str
    place: Place


def nan_culprit(run: Callable[[], Any]) -> Culprit:
    """Run a forward and a backward pass again and return the first step that returns NaN."""
    raised: Exception | None = None
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with torch.autograd.detect_anomaly(check_nan=True):
            try:
                run()
            except Exception as error:  # noqa: BLE001 - LayerRaised, or autograd's own
                raised = error.error if isinstance(error, LayerRaised) else error
    step = _STEP.search(str(raised))
    if step is None:
        return Culprit("", Place())
    text = "\n".join(str(item.message) for item in said)
    frames = [Place(file, int(line)) for file, line in _FRAME.findall(text) if is_users(file)]
    return Culprit(step[1], frames[-1] if frames else Place())


def passes(probe: Probe, inputs: Inputs, *, training: bool = True) -> tuple[Any, Gradients]:
    """Run forward and backward and return the output and the gradients that a training uses.

    Of a layer with several inputs and no parameters, or with one number as its output, all inputs
    but the first are targets: no gradient of theirs counts.

    Raises:
        LayerRaised: either pass raised.
        Skip: no output requires gradients.
    """
    layer, given = probe.layer(training=training), inputs.requiring_grad()
    output = probe.call(layer, given)
    gradients = probe.gradients_of(layer, given, output)
    scalar = all(item.tensor.dim() == 0 for item in named_tensors(output))
    if scalar or not gradients.parameters:
        first = dict(list(gradients.inputs.items())[:1])
        gradients = Gradients(first, gradients.parameters)
    return output, gradients


def not_finite(gradients: Gradients) -> list[str]:
    """Return the names of the inputs and parameters whose gradients are not finite."""
    return [
        name
        for name, grad in [*gradients.inputs.items(), *gradients.parameters.items()]
        if grad is not None and not bool(grad.isfinite().all())
    ]


def attempted(probe: Probe, inputs: Inputs) -> tuple[Any, Gradients] | None:
    """Return what `passes` returns, or None where the layer raises or gives no gradient."""
    try:
        return passes(probe, inputs)
    except Skip:  # LayerRaised is one, too
        return None
