"""What a network itself answers on the trials, and how far rounding may move that."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from layerwright.errors import ExportError
from layerwright.exporting.rounding import RoundingNoise
from layerwright.exporting.trials import Trial
from layerwright.initialization.examples import ExampleInputs, tensors_in

DRAWS = 3  # of the rounding noise
SAFETY = 2.0  # times the largest of the draws: the file's errors are one more draw
FLOOR = 4.0  # roundings of the largest output that are allowed in any case
SMALLEST = 1e-37  # runtimes may flush smaller values to zero
UNMEASURED = 256.0  # roundings of the largest output, where there is no float64 to measure with


@dataclass(frozen=True)
class Reference:
    """What the network itself answers on one trial.

    Attributes:
        own: in its own dtype.
        exact: in float64, or `own` where float64 does not work.
        allowed: how far rounding may move each value; of whole numbers, whether it may.
    """

    own: list[Tensor]
    exact: list[Tensor]
    allowed: list[Tensor]


@dataclass(frozen=True)
class References:
    """The network's answers on the trials that it takes.

    Attributes:
        trials: those it takes, in order.
        answers: one for each.
        refused: names of the edge values that the network itself refuses.
        note: why there is no float64; empty where there is.
    """

    trials: list[Trial]
    answers: list[Reference]
    refused: list[str] = field(default_factory=list)
    note: str = ""


def references(network: nn.Module, trials: Sequence[Trial], seed: int = 0) -> References:
    """Compute what the network answers, in its own dtype and in float64, and how sure that is.

    Raises:
        ExportError: the network fails on the example itself, or answers differently each time.
    """
    unit = _unit_roundoff(network, trials[0].inputs)
    double, note = _in_float64(network, trials[0].inputs)
    kept: list[Trial] = []
    answers: list[Reference] = []
    refused: list[str] = []
    for trial in trials:
        try:
            own = outputs_of(network, trial.inputs)
            answer = _reference(double, trial.inputs, own, unit, seed)
        except Exception as error:
            if trial.name == "example":
                raise ExportError(
                    f"{type(network).__name__} expected to take {trial.batch} samples, and fails: "
                    f"{type(error).__name__}: {str(error)[:200]}. Fix: other inputs, or "
                    "--fixed-batch."
                ) from error
            refused.append(trial.name)
            continue
        if not kept:
            _check_repeats(network, trial, own)
        kept.append(trial)
        answers.append(answer)
    return References(kept, answers, refused, note)


def outputs_of(network: nn.Module, inputs: ExampleInputs) -> list[Tensor]:
    """Call a network on copies, and return the tensors that come out, in their order."""
    call = inputs.map(torch.clone)
    with torch.no_grad():
        return [t.detach().clone() for t in tensors_in(network(*call.args, **call.kwargs))]


def double_inputs(inputs: ExampleInputs) -> ExampleInputs:
    """Return inputs with floating-point tensors in float64."""
    return inputs.map(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)


def _reference(
    double: nn.Module | None, inputs: ExampleInputs, own: list[Tensor], unit: float, seed: int
) -> Reference:
    network, given = double, double_inputs(inputs)
    if network is None:
        return Reference(own, own, [_unmeasured(tensor, unit) for tensor in own])
    exact = outputs_of(network, given)
    allowed = [_distance(a, b) for a, b in zip(own, exact, strict=True)]
    for draw in range(DRAWS):
        with RoundingNoise(unit, seed + draw):
            moved = outputs_of(network, given)
        allowed = [
            torch.maximum(old, _distance(a, b))
            for old, a, b in zip(allowed, moved, exact, strict=True)
        ]
    spread = [
        torch.maximum(_per_sample(item) * SAFETY, _floor(tensor, unit))
        if tensor.is_floating_point()
        else item
        for item, tensor in zip(allowed, exact, strict=True)
    ]
    return Reference(own, exact, spread)


def _distance(one: Tensor, other: Tensor) -> Tensor:
    """Return how far two answers are apart: of whole numbers, 0 or 1."""
    if not other.is_floating_point():
        return (one != other).double()
    gap = (one.double() - other.double()).abs()
    return gap.nan_to_num(nan=0.0, posinf=0.0)  # what is not finite is left out elsewhere


def _per_sample(allowed: Tensor) -> Tensor:
    """Give each sample (dim 0) the largest of its values' distances."""
    if allowed.dim() < 2 or not allowed.numel():
        return allowed.amax() if allowed.numel() and allowed.dim() else allowed
    return allowed.flatten(1).amax(dim=1).view(-1, *[1] * (allowed.dim() - 1))


def _floor(tensor: Tensor, unit: float) -> Tensor:
    """A few roundings of the largest value: what storing the output alone may cost."""
    values = tensor.double()
    finite = values[values.isfinite()]
    largest = finite.abs().max() if finite.numel() else values.new_zeros(())
    return (FLOOR * unit * largest).clamp(min=SMALLEST)


def _unmeasured(tensor: Tensor, unit: float) -> Tensor:
    if not tensor.is_floating_point():
        return torch.zeros(tensor.shape)
    return _floor(tensor, unit) * (UNMEASURED / FLOOR)


def _unit_roundoff(network: nn.Module, inputs: ExampleInputs) -> float:
    """Half the epsilon of the coarsest floating-point dtype that takes part."""
    tensors = [*network.parameters(), *network.buffers(), *inputs.tensors()]
    types = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    return max((torch.finfo(dtype).eps for dtype in types or {torch.float32}), default=0.0) / 2


def _in_float64(network: nn.Module, inputs: ExampleInputs) -> tuple[nn.Module | None, str]:
    double = copy.deepcopy(network).double()
    try:
        outputs_of(double, double_inputs(inputs))
    except Exception as error:  # noqa: BLE001 - a dtype is fixed somewhere in the network
        return None, f"not measured: the network does not run in float64 ({str(error)[:120]})"
    return double, ""


def _check_repeats(network: nn.Module, trial: Trial, first: list[Tensor]) -> None:
    again = outputs_of(network, trial.inputs)
    same = len(again) == len(first) and all(
        torch.equal(one.nan_to_num(), other.nan_to_num())
        for one, other in zip(first, again, strict=True)
    )
    if not same:
        raise ExportError(
            f"{type(network).__name__} expected one answer to the same inputs in eval mode, and "
            "gives another the second time. Fix: layerwright check names the cause (random "
            "numbers, or state that forward changes)."
        )
