"""What a layer answers when it is compiled, and when it is not; shared by the rules that ask."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from torch import Tensor, nn

from layerwright.contract.comparing import difference
from layerwright.contract.gradients import backward
from layerwright.contract.probe import Probe, detached
from layerwright.contract.torch_compat.dynamo import NotTraced, compiled
from layerwright.contract.trees import Inputs
from layerwright.random_numbers import seed_all

# Compiled kernels add in another order; relative to the largest value of a tensor.
TOLERANCE = 1e-3
# How much inputs are changed to see whether a layer amplifies roundings.
NUDGE = 1e-6


@dataclass(frozen=True)
class Answer:
    """What came of one call.

    Attributes:
        output: without its graph.
        gradients: of a random projection of the output, by the leaf's name.
        buffers: after the call.
    """

    output: Any
    gradients: Mapping[str, Tensor | None]
    buffers: Mapping[str, Tensor]


@dataclass(frozen=True)
class Traced:
    """What came of compiling a layer.

    Attributes:
        answers: to the example inputs and to others; empty if it could not be compiled.
        refused: why it is no single graph.
        failed: what else went wrong, in words.
    """

    answers: tuple[Answer, ...] = ()
    refused: NotTraced | None = None
    failed: str = ""


def traced(probe: Probe, *, training: bool) -> Traced:
    """Compile a copy of the layer and call it; what came of it is kept for all rules that ask."""
    kept = _KEPT.setdefault(probe, {})
    if training not in kept:
        kept[training] = _trace(probe, training=training)
    return kept[training]


def questions(probe: Probe) -> tuple[Inputs, ...]:
    """Return the example inputs, and others in the same domain."""
    return probe.inputs(), probe.other_inputs()


def answer(
    probe: Probe, layer: nn.Module, call: Callable[..., Any], given: Inputs, seed: int | None = None
) -> Answer:
    """Call a layer under a seed, by default the probe's, and send a random projection back."""
    leaves = given.requiring_grad()
    inputs = leaves.map(lambda x: x.clone() if x.requires_grad else x)
    layer.zero_grad(set_to_none=True)  # an earlier call on this layer left its gradients
    seed_all(probe.seed if seed is None else seed)
    output = call(*inputs.args, **inputs.kwargs)
    found = backward(layer, leaves, output, probe.seed)
    gradients = {} if found is None else {**found.inputs, **found.parameters}
    return Answer(
        detached(output),
        gradients,
        {name: buffer.detach().clone() for name, buffer in layer.named_buffers()},
    )


def differ(expected: Answer, actual: Answer) -> tuple[str, str] | None:
    """Return what differs, and how."""
    words = difference(expected.output, actual.output, tolerance=TOLERANCE)
    if words:
        return "output", words
    for name, grad in expected.gradients.items():
        other = actual.gradients.get(name)
        if grad is None and other is not None and not bool(other.any()):
            continue  # a gradient of zeros says as much as none
        if grad is None or other is None:
            if (grad is None) != (other is None) and not (grad is not None and not grad.any()):
                return f"gradient of {name}", (
                    f"there is {'one' if grad is None else 'none'}, uncompiled there is "
                    f"{'none' if grad is None else 'one'}"
                )
            continue
        words = difference(grad, other, tolerance=TOLERANCE)
        if words:
            return f"gradient of {name}", words
    for name, buffer in expected.buffers.items():
        words = difference(buffer, actual.buffers.get(name), tolerance=TOLERANCE)
        if words:
            return f"buffer {name}", words
    return None


def draws_numbers(probe: Probe, *, training: bool) -> bool:
    """Tell whether the answer depends on the seed."""
    outputs = [
        probe.call(probe.layer(training=training), seed=probe.seed + shift) for shift in (0, 1)
    ]
    return difference(*outputs) is not None


def amplifies(probe: Probe, given: Inputs, *, training: bool) -> bool:
    """Tell whether a change of the size of a rounding moves the answer as far."""
    nudged = given.map_floats(lambda x: x * (1 + NUDGE))
    one, other = (
        answer(probe, layer, layer, inputs)
        for layer, inputs in (
            (probe.layer(training=training), given),
            (probe.layer(training=training), nudged),
        )
    )
    return differ(one, other) is not None


def _trace(probe: Probe, *, training: bool) -> Traced:
    layer = probe.layer(training=training)
    answers: list[Answer] = []
    try:
        with compiled(layer, "aot_eager") as run:
            for given in questions(probe):
                answers.append(answer(probe, layer, run.call, given))  # noqa: PERF401 - may raise
            if run.count == 0:
                return Traced(failed="torch.compile is turned off")
    except NotTraced as refused:
        return Traced(refused=refused)
    except Exception as error:  # noqa: BLE001 - compilers and the layer raise anything
        return Traced(failed=f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    return Traced(tuple(answers))


_KEPT: "WeakKeyDictionary[Probe, dict[bool, Traced]]" = WeakKeyDictionary()
