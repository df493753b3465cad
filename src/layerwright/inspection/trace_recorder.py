"""Records one pass of a network, forward and backward, as a row of statistics for each layer."""

import math
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from layerwright.errors import OptionError
from layerwright.initialization.examples import floats_in
from layerwright.initialization.signal.watching import Row, SignalHooks, final_rows
from layerwright.inspection.trace_statistics import LayerStatistics, Moments, moments, pooled

INPUT, OUTPUT = "(input)", "(output)"


@dataclass
class _Call:
    """What is measured of one tensor: at once, and when its gradient arrives."""

    forward: Moments | None
    gradient: Moments | None = None


class Recorder:
    """Watches the next pass of a network without changing a bit of what it computes.

    Of the pass itself only numbers are kept. The gradients of the last backward pass count.

    Args:
        network: in any mode, on any device.
        updates: whether to keep a copy of the weights, to measure a step by.

    Raises:
        ShapeError: a lazy module has not seen an input yet.
    """

    def __init__(self, network: nn.Module, *, updates: bool = False) -> None:
        self._network = network
        self._hooks = SignalHooks(network, self._kept)
        self._ends: dict[str, list[_Call]] = {}
        self._handles: list[Any] = []
        self._before: dict[nn.Module, list[Tensor]] = {}
        if updates:
            self._before = {
                module: [weight.detach().clone() for weight in _weights(module)]
                for module in self._hooks.layers()
            }

    def attach(self) -> None:
        """Hang hooks on the network.

        Raises:
            OptionError: the network is compiled by TorchScript, and takes none.
        """
        if isinstance(self._network, torch.jit.ScriptModule):
            raise OptionError(
                "watching expected a network that takes hooks, received one of TorchScript. "
                "Fix: watch the network before torch.jit."
            )
        given = self._network.register_forward_pre_hook(self._given, with_kwargs=True)
        self._hooks.attach()
        put = self._network.register_forward_hook(self._put)
        self._handles = [given, put]

    def remove(self) -> None:
        """Take the hooks away."""
        self._hooks.remove()
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @property
    def complete(self) -> bool:
        """Whether a whole forward pass was seen."""
        return OUTPUT in self._ends

    def statistics(self) -> tuple[LayerStatistics, ...]:
        """Return a row for the input, each layer and activation in call order, and the output."""
        rows = self._hooks.rows()
        final = final_rows(rows, self._hooks.outputs)
        found = [self._layer(row, final) for row in rows.values()]
        first = [_row(INPUT, "", "input", self._ends[INPUT])] if self._ends.get(INPUT) else []
        last = [_row(OUTPUT, "", "output", self._ends[OUTPUT])] if self._ends.get(OUTPUT) else []
        return (*first, *found, *last)

    def _given(self, _network: nn.Module, args: Any, kwargs: Any) -> None:
        if INPUT not in self._ends:
            self._ends[INPUT] = [self._kept(item, None) for item in floats_in((args, kwargs))]

    def _put(self, _network: nn.Module, _args: Any, output: Any) -> None:
        if OUTPUT not in self._ends:
            self._ends[OUTPUT] = [self._kept(item, None) for item in floats_in(output)]

    def _kept(self, output: Tensor, _given: Tensor | None) -> _Call:
        call = _Call(_measured(output))

        def arrived(gradient: Tensor) -> None:
            call.gradient = _measured(gradient)

        if output.requires_grad:
            output.register_hook(arrived)
        return call

    def _layer(self, row: Row[_Call], final: set[str]) -> LayerStatistics:
        more: dict[str, Any] = {"final": row.name in final}
        if row.flatness:
            more["dead"] = fmean(dead for dead, _ in row.flatness)
            more["saturated"] = fmean(saturated for _, saturated in row.flatness)
        if row.module is not None:
            now = _weights(row.module)
            before = self._before.get(row.module, now)
            size = _norm(before)
            more["weight"] = _known(size / max(sum(w.numel() for w in before), 1) ** 0.5)
            if row.module in self._before and size > 0:
                change = _norm([a - b for a, b in zip(now, before, strict=True)])
                more["update"] = _known(change / size)
        return _row(row.name, row.kind, row.role, row.calls, **more)


def _row(name: str, kind: str, role: str, calls: list[_Call], **more: Any) -> LayerStatistics:
    forward = pooled(call.forward for call in calls)
    backward = pooled(call.gradient for call in calls)
    if forward is not None:
        more.update({key: forward[key] for key in ("mean", "spread", "zeros", "varying", "finite")})
        more["num_values"] = forward["count"]
    if backward is not None:
        for key in ("mean", "spread", "zeros", "norm", "finite"):
            more[f"gradient_{key}"] = backward[key]
    return LayerStatistics(name, kind, role, num_calls=len(calls), **more)


def _measured(tensor: Tensor) -> Moments | None:
    """What has no such numbers, as tensors of a user's own class may, must not end a training."""
    try:
        return moments(tensor)
    except (RuntimeError, TypeError, NotImplementedError):
        return None


def _weights(module: nn.Module) -> list[Tensor]:
    """The module's parameters without biases and gains, in an order that lasts."""
    own = [parameter.detach() for parameter in module.parameters()]
    return [weight for weight in own if weight.dim() > 1] or own


def _norm(tensors: list[Tensor]) -> float:
    squares = [torch.linalg.vector_norm(tensor.float()).square() for tensor in tensors]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
