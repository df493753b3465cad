"""What a rule asks for before it judges: verified once, in one place, for all rules."""

import torch

from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, Skip
from layerwright.contract.trees import is_float, named_tensors

IN_WORDS = {
    "unbuilt": "its constructor can be watched",
    "forward": "forward runs on the example inputs in eval mode",
    "train_forward": "forward runs on the example inputs in training mode",
    "backward": "its gradients on the example inputs are finite",
    "deterministic": "equal calls under one seed give equal answers",
    "constructor": "it can be built again",
    "parameters": "it has parameters that are trained",
    "float_inputs": "it takes floating-point inputs",
    "float_outputs": "it returns floating-point tensors",
    "float32": "it computes in float32",
    "batch": "samples are independent along a dimension of its inputs",
    "loss": "a loss is given",
    "ranks": "several processes are asked for (`--ranks 2`)",
}


def unmet(probe: Probe, need: str) -> str | None:
    """Return why a need of a rule does not hold for this layer, or None if it holds."""
    try:
        return _CHECKS[need](probe)
    except Skip as skip:
        return str(skip)


def _forward(probe: Probe) -> str | None:
    if probe.subject.inputs is None:
        return "no example inputs were given"
    raised = probe.eval_attempt.raised
    return f"forward in eval mode raised {raised.words}" if raised else None


def _train_forward(probe: Probe) -> str | None:
    if probe.subject.inputs is None:
        return "no example inputs were given"
    raised = probe.train_attempt.raised
    return f"forward in training mode raised {raised.words}" if raised else None


def _backward(probe: Probe) -> str | None:
    unmet_first = _train_forward(probe)
    if unmet_first:
        return unmet_first
    try:
        gradients = probe.gradients
    except LayerRaised as raised:
        return f"a backward pass raised {raised.words}"
    found = [*gradients.inputs.values(), *gradients.parameters.values()]
    if any(grad is not None and not bool(grad.isfinite().all()) for grad in found):
        return "its gradients on the example inputs are not finite"
    return None


def _deterministic(probe: Probe) -> str | None:
    words = probe.deterministic
    return f"two equal calls with one seed give different answers ({words})" if words else None


def _constructor(probe: Probe) -> str | None:
    return None if probe.subject.build is not None else probe.subject.why_not_built


def _parameters(probe: Probe) -> str | None:
    trained = any(item.requires_grad for item in probe.subject.layer.parameters())
    return None if trained else "it has no parameters that are trained"


def _float_inputs(probe: Probe) -> str | None:
    if probe.subject.inputs is None:
        return "no example inputs were given"
    return None if probe.subject.inputs.floats() else "it has no floating-point input"


def _float_outputs(probe: Probe) -> str | None:
    found = any(is_float(item.tensor) for item in named_tensors(probe.eval_output))
    return None if found else "it has no floating-point output"


def _float32(probe: Probe) -> str | None:
    tensors = [
        *probe.subject.layer.parameters(),
        *(item.tensor for item in (probe.subject.inputs.floats() if probe.subject.inputs else ())),
    ]
    other = next((item for item in tensors if is_float(item) and item.dtype != torch.float32), None)
    return None if other is None else f"it computes in {other.dtype}, not in float32"


def _batch(probe: Probe) -> str | None:
    return None if probe.batch else "no dimension with independent samples was found"


def _loss(probe: Probe) -> str | None:
    return None if probe.subject.loss is not None else "no loss was given"


def _ranks(probe: Probe) -> str | None:
    if probe.ranks < 2:
        return "no processes were asked for, as --ranks 2 does"
    on_cpu = all(item.device.type == "cpu" for item in probe.subject.layer.parameters())
    return None if on_cpu else "its parameters are not on the CPU"


_CHECKS = {
    "unbuilt": lambda _: None,  # the runner asks for it, see `_judge` there
    "forward": _forward,
    "train_forward": _train_forward,
    "backward": _backward,
    "deterministic": _deterministic,
    "constructor": _constructor,
    "parameters": _parameters,
    "float_inputs": _float_inputs,
    "float_outputs": _float_outputs,
    "float32": _float32,
    "batch": _batch,
    "loss": _loss,
    "ranks": _ranks,
}
