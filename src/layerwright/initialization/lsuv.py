"""Layer-sequential unit-variance: scale each weight until its layer's output has variance one."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.initialization.examples import ExampleInputs, floats_in
from layerwright.initialization.filling import assign, value_of
from layerwright.initialization.structure import Place
from layerwright.initialization.undisturbed import undisturbed
from layerwright.random_numbers import seed_all_devices

_TOLERANCE = 0.05  # of the variance
_MAX_ROUNDS = 10
_LEAST_POWER, _LARGEST_POWER = 0.5, 100.0
_SCALED = ("convolution", "linear", "weight")


def scale_to_unit_variance(
    network: nn.Module, inputs: ExampleInputs, found: list[Place], *, seed: int = 0
) -> list[Place]:
    """Scale the weights at `found`, in the order in which their layers are called.

    Scaled is each module that holds exactly one weight and returns floating-point values: first,
    its output is measured on the batch, in training mode; then the weight is scaled until the
    variance is within 5 % of one, ten times at most. Of a module that is called several times,
    the variance is the mean over its calls. One whose output does not follow its weight (a
    normalised weight, a bounded output) keeps what came nearest.

    Args:
        network: initialised already, with orthogonal weights and zero biases.
        inputs: a batch.
        found: the network's places, without those whose values stay.
        seed: of dropout and the like; the global random numbers stay as they were.

    Returns:
        The places of called modules whose output is constant or not finite: not scaled.

    Reference:
        Mishkin and Matas (2016), "All you need is a good init", https://arxiv.org/abs/1511.06422
    """
    weights: dict[nn.Module, dict[str, Place]] = {}  # of a parametrised weight one of its parts
    for place in found:
        if place.kind in (*_SCALED, "recurrent"):
            weights.setdefault(place.owner, {})[place.attribute] = place
    single = {owner: next(iter(mine.values())) for owner, mine in weights.items() if len(mine) == 1}
    left = []
    with undisturbed(network), torch.no_grad():
        network.train()
        for owner in _in_order_of_calls(network, inputs, list(single), seed):
            place = single[owner]
            if place.kind in _SCALED and not _scale(network, inputs, place, seed):
                left.append(place)
    return left


def _in_order_of_calls(
    network: nn.Module, inputs: ExampleInputs, owners: list[nn.Module], seed: int
) -> list[nn.Module]:
    order: dict[nn.Module, None] = {}

    def note(module: nn.Module, _args: Any, output: Any) -> None:
        if floats_in(output):
            order.setdefault(module)

    handles = [owner.register_forward_hook(note) for owner in owners]
    try:
        _run(network, inputs, seed)
    finally:
        for handle in handles:
            handle.remove()
    return list(order)


def _scale(network: nn.Module, inputs: ExampleInputs, place: Place, seed: int) -> bool:
    """Scale one weight; return whether its output has a variance at all.

    By the secant method on logarithms: how the variance follows the weight is measured, because
    it is a higher power where a layer's calls feed one another, and less where outputs are bounded.
    """
    start = value_of(place).clone()
    power, at, step, before = 2.0, 0.0, 0.0, math.nan
    best = (math.inf, 0.0)
    for _ in range(_MAX_ROUNDS):
        variance = _variance(network, inputs, place.owner, seed)
        if not 0 < variance < math.inf:
            break
        distance = math.log(variance)
        best = min(best, (abs(distance), at))
        if abs(distance) < _TOLERANCE:
            return True
        if not math.isnan(before):
            power = min(max((distance - before) / step, _LEAST_POWER), _LARGEST_POWER)
        before, step = distance, -distance / power
        at += step
        assign(place, start * math.exp(at))
    assign(place, start * math.exp(best[1]))
    return best[0] < math.inf


def _variance(network: nn.Module, inputs: ExampleInputs, owner: nn.Module, seed: int) -> float:
    """Return the variance of a module's output, the mean over its calls."""
    found: list[Tensor] = []

    def measure(_module: nn.Module, _args: Any, output: Any) -> None:
        found.append(floats_in(output)[0].double().var(correction=0).cpu())

    handle = owner.register_forward_hook(measure)
    try:
        _run(network, inputs, seed)
    finally:
        handle.remove()
    return float(torch.stack(found).mean()) if found else 0.0


def _run(network: nn.Module, inputs: ExampleInputs, seed: int) -> None:
    seed_all_devices(seed)
    given = inputs.map(Tensor.clone)  # a network may write into what it is given
    network(*given.args, **given.kwargs)
