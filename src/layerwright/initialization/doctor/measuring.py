"""Measure a network: how far its output depends on its input, and where gradients go."""

import copy
import math
from collections.abc import Iterable
from dataclasses import replace
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.initialization.doctor.magnitudes import (
    change,
    dependence,
    mean_square,
    norm,
    rms,
)
from layerwright.initialization.doctor.signals import LayerSignal, NetworkSignal
from layerwright.initialization.doctor.watching import Call, Pass, watch
from layerwright.initialization.examples import ExampleInputs
from layerwright.initialization.signal.watching import Row, final_rows, projected
from layerwright.initialization.undisturbed import undisturbed
from layerwright.random_numbers import seed_all_devices

_NUM_ROUNDS = 2
_NETWORK_NUMBERS = ("scale", "dependence", "change", "gain")
_LAYER_NUMBERS = (
    *_NETWORK_NUMBERS, "gradient", "weight_gradient", "amplification", "dead", "saturated",
)  # fmt: skip
_SAME = 1e-6  # of the largest weight of a layer
_SAME_GRADIENT = 1e-4  # sums in another order; gradients of different units are far apart


def private_copy(network: nn.Module) -> nn.Module:
    """Return a copy in training mode of which every floating-point parameter gets a gradient.

    Raises:
        OptionError: the network cannot be copied.
    """
    try:
        twin = copy.deepcopy(network)
    except Exception as error:  # attributes of any class may refuse in any way
        raise OptionError(
            f"{type(network).__name__} expected to be copied, because a diagnosis changes nothing "
            f"in your network; copy.deepcopy said: {error}. Fix: pass a freshly built network."
        ) from error
    for parameter in twin.parameters():
        parameter.grad = None
        if parameter.is_floating_point() or parameter.is_complex():
            parameter.requires_grad_()
    return twin.train()


def measure(network: nn.Module, inputs: ExampleInputs, seed: int) -> NetworkSignal:
    """Measure a network in training mode, in two rounds with other comparisons and projections.

    Args:
        network: a private copy; running statistics and modes are put back.
        inputs: a batch.
        seed: of dropout, comparisons and projections.

    Raises:
        OptionError: the network does not take the inputs, or puts out nothing to differentiate.
    """
    training = True
    with undisturbed(network):
        network.train()
        try:
            _forward(network, inputs, seed)
        except Exception:  # noqa: BLE001 - such as batch normalisation of a batch of one
            network.eval()
            training = False
        rounds = [_round(network, inputs, seed + i) for i in range(_NUM_ROUNDS)]
    return replace(_merged(rounds), training=training)


def _forward(network: nn.Module, inputs: ExampleInputs, seed: int) -> None:
    seed_all_devices(seed)
    given = inputs.map(Tensor.clone)
    with torch.no_grad():
        network(*given.args, **given.kwargs)


def _round(network: nn.Module, inputs: ExampleInputs, seed: int) -> NetworkSignal:
    try:
        with torch.enable_grad():
            first = watch(network, inputs, seed)
    except Exception as error:  # the network is the user's: anything
        raise OptionError(
            f"{type(network).__name__} expected to run on the inputs, and raised "
            f"{type(error).__name__}: {error}. Fix: pass a batch that it takes."
        ) from error
    if not first.outputs:
        raise OptionError(
            f"{type(network).__name__} expected a floating-point output, and put out none. "
            "Fix: diagnose the part that computes scores."
        )
    other_inputs, second = _second(network, inputs, first, seed)
    signal = _signal(first, second, _input_change(inputs, other_inputs), seed)
    scale = max((rms([tensor]) for tensor in inputs.floats()), default=0.0)
    return replace(signal, input_scale=scale)


def _second(
    network: nn.Module, inputs: ExampleInputs, first: Pass, seed: int
) -> tuple[ExampleInputs, Pass]:
    """Run the network on other inputs, with the same random numbers."""
    error: Exception | None = None
    for other in inputs.others(seed):
        try:
            with torch.no_grad():
                return other, watch(network, other, seed, as_in=first)
        except Exception as raised:  # noqa: BLE001 - lengths may have to be sorted, and so on
            error = raised
    raise OptionError(
        f"{type(network).__name__} expected other inputs to compare with, and took none"
        + (f": {type(error).__name__}: {error}." if error else ", because it has one input only.")
        + " Fix: pass a batch of several different samples."
    ) from error


def _input_change(inputs: ExampleInputs, other: ExampleInputs) -> float | None:
    pairs = list(zip(inputs.floats(), other.floats(), strict=True))
    changes = [moved for one, two in pairs if (moved := change(one, two)) > 0]
    return max(changes) if changes else None


def _signal(first: Pass, second: Pass, input_change: float | None, seed: int) -> NetworkSignal:
    gradients, weight_gradients = _gradients(first, seed)
    final = final_rows(first.rows, first.outputs)
    pairs = [
        (one, two)
        for one, two in zip(first.outputs, second.outputs, strict=False)
        if one.shape == two.shape
    ]
    output_change = max((change(one, two) for one, two in pairs), default=0.0)
    num_outputs = sum(tensor.numel() for tensor in first.outputs)
    layers = []
    for row in first.rows.values():
        signal = _row(row, second.rows.get(row.name))
        gradient = gradients.get(row.name)
        size = sum(call.output.numel() for call in row.calls)
        amplification = None
        if gradient is not None and output_change > 0:
            amplification = gradient * signal.change * math.sqrt(num_outputs) / output_change
        grads = weight_gradients.get(row.name, [])
        weight_gradient = norm(grads)
        layers.append(
            replace(
                signal,
                gradient=gradient,
                weight_gradient=weight_gradient,
                amplification=amplification,
                symmetric=row.module is not None and _symmetric(row.module, grads),
                final=row.name in final,
                finite=signal.finite
                and all(math.isfinite(x) for x in (gradient or 0.0, weight_gradient or 0.0))
                and size > 0,
            )
        )
    reference = input_change or next((item.change for item in layers if item.change > 0), 0.0)
    return NetworkSignal(
        layers=tuple(layers),
        scale=max(rms([tensor]) for tensor in first.outputs),
        dependence=max((dependence(one, two) for one, two in pairs), default=0.0),
        change=output_change,
        gain=output_change / reference if reference else 0.0,
        input_scale=0.0,
        finite=all(bool(tensor.isfinite().all()) for tensor in first.outputs)
        and all(layer.finite for layer in layers),
        training=True,
    )


def _row(row: Row[Call], other: Row[Call] | None) -> LayerSignal:
    outputs = [call.output for call in row.calls]
    scale = rms(outputs)
    pairs = [
        (one, two)
        for one, two in zip(row.calls, other.calls if other else [], strict=False)
        if one.output.shape == two.output.shape
    ]
    followed = mean_square([change(one.output, two.output) for one, two in pairs])
    given = [(one.input, two.input) for one, two in pairs]
    moved = mean_square(
        [
            change(one, two)
            for one, two in given
            if one is not None and two is not None and one.shape == two.shape
        ]
    )
    judged = row.flatness
    return LayerSignal(
        name=row.name,
        kind=row.kind,
        role=row.role,
        num_calls=len(row.calls),
        scale=scale,
        dependence=followed / scale if scale > 0 else 0.0,
        change=followed,
        gain=followed / moved if row.role == "layer" and moved > 0 else None,
        dead=fmean(item[0] for item in judged) if judged else None,
        saturated=fmean(item[1] for item in judged) if judged else None,
        finite=all(bool(item.isfinite().all()) for item in outputs),
    )


def _gradients(first: Pass, seed: int) -> tuple[dict[str, float], dict[str, list[Tensor]]]:
    """Return the norm of the gradient at each row's outputs, and the gradients of its weights."""
    loss = projected(first.outputs, seed)
    if loss is None:
        return {}, {}
    rows = list(first.rows.values())
    at = [(row.name, edge) for row in rows for edge in row.edges]
    of = [
        (row.name, weight)
        for row in rows
        if row.module is not None
        for weight in row.module.parameters()
        if weight.requires_grad and weight.dim() > 1
    ]
    wanted = [edge for _, edge in at] + [weight for _, weight in of]
    found = torch.autograd.grad(loss, wanted, allow_unused=True)  # type: ignore[arg-type]
    gradients: dict[str, list[Tensor]] = {}
    weights: dict[str, list[Tensor]] = {}
    for (name, _), grad in zip(at, found, strict=False):
        gradients.setdefault(name, []).append(torch.zeros(()) if grad is None else grad.detach())
    for (name, _), grad in zip(of, found[len(at) :], strict=True):
        if grad is not None:
            weights.setdefault(name, []).append(grad.detach())
    return {name: norm(grads) or 0.0 for name, grads in gradients.items()}, weights


def _symmetric(module: nn.Module, grads: list[Tensor]) -> bool:
    """Whether all units of the module's one weight are equal, and so are their gradients."""
    weights = [weight for weight in module.parameters() if weight.dim() > 1]
    if len(weights) != 1 or len(grads) != 1 or grads[0].layout != torch.strided:
        return False
    weight, grad = weights[0].detach(), grads[0]
    if weight.shape != grad.shape or not bool(grad.any()) or not bool(grad.isfinite().all()):
        return False
    return any(
        weight.shape[dim] > 1
        and _equal_rows(weight.movedim(dim, 0).flatten(1), _SAME)
        and _equal_rows(grad.movedim(dim, 0).flatten(1), _SAME_GRADIENT)
        for dim in (0, 1)
    )


def _equal_rows(rows: Tensor, tolerance: float) -> bool:
    if not torch.allclose(rows[0], rows[-1], rtol=1e-3, atol=0):  # as almost always
        return False
    return bool(((rows - rows[:1]).abs() <= rows.abs().max() * tolerance).all())


def _merged(rounds: list[NetworkSignal]) -> NetworkSignal:
    """Return the mean of the rounds: what is flagged must be so in each, and numbers in all."""
    first = rounds[0]
    layers = []
    for layer in first.layers:
        same = [found for item in rounds if (found := item.find(layer.name)) is not None]
        means: dict[str, Any] = {
            name: _middle(getattr(item, name) for item in same) for name in _LAYER_NUMBERS
        }
        layers.append(
            replace(
                layer,
                **means,
                symmetric=all(item.symmetric for item in same),
                final=any(item.final for item in same),
                finite=all(item.finite for item in same),
            )
        )
    of_network: dict[str, Any] = {
        name: _middle(getattr(item, name) for item in rounds) for name in _NETWORK_NUMBERS
    }
    finite = all(item.finite for item in rounds)
    return replace(first, layers=tuple(layers), finite=finite, **of_network)


def _middle(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
