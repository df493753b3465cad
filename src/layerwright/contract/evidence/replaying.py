"""Custom backward formulas, taken out of the layer and run again on the arguments they had."""

import contextlib
import inspect
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from layerwright.contract.gradients import weights_like
from layerwright.contract.probe import Probe
from layerwright.contract.rule import Skip
from layerwright.contract.source import Place, place_of_class
from layerwright.contract.torch_compat.functions import FunctionCall, recorded_functions
from layerwright.contract.trees import is_float, map_tensors, named_tensors
from layerwright.random_numbers import seed_all

_SEEN: weakref.WeakKeyDictionary[Probe, list["Replay"]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Replay:
    """One call of a Function or of a custom operator, which can be made again.

    Attributes:
        name: of the Function or operator.
        call: applies it.
        args: what it was applied to; read, never written.
        kwargs: keyword arguments, of an operator.
        wanted: places of the tensors that want a gradient.
        labels: names of the arguments.
        mode: "training" or "eval".
        place: where its backward formula begins.
        written: see `FunctionCall`.
        seed: what each call is seeded with.
    """

    name: str
    call: Callable[..., Any]
    args: tuple[Any, ...]
    wanted: tuple[int, ...]
    labels: tuple[str, ...]
    mode: str
    place: Place
    written: tuple[int, ...] = ()
    seed: int = 0

    def leaves(self, wanted: Sequence[int] | None = None) -> list[Any]:
        """Return private copies of the arguments; those that are wanted require gradients."""
        chosen = self.wanted if wanted is None else wanted
        fresh = [map_tensors(arg, lambda item: item.detach().clone()) for arg in self.args]
        return [arg.requires_grad_() if place in chosen else arg for place, arg in enumerate(fresh)]

    def given(self, leaves: Sequence[Any]) -> list[Any]:
        """Return what the call is handed: results of an operator, so that it may write them."""
        return [
            arg.clone() if isinstance(arg, Tensor) and arg.requires_grad else arg for arg in leaves
        ]

    def run(self, leaves: Sequence[Any]) -> list[Tensor]:
        """Call it, and return the floating-point tensors that came out."""
        return self.outputs(self.given(leaves))

    def outputs(self, given: Sequence[Any]) -> list[Tensor]:
        """Call it on these very tensors; see `given`."""
        seed_all(self.seed)
        output = self.call(*given)
        return [item.tensor for item in named_tensors(output) if is_float(item.tensor)]

    def weights(self, outputs: Sequence[Tensor]) -> list[Tensor]:
        """Return what is sent back into each output: random numbers, none of them small."""
        generator = torch.Generator().manual_seed(self.seed + 1)
        return [_weights(output, generator) for output in outputs]

    def gradients(
        self, leaves: Sequence[Any], outputs: Sequence[Tensor], sent: Sequence[Tensor | None]
    ) -> list[Tensor | None]:
        """Return the gradients of the wanted arguments, those that `leaves` require."""
        pairs = [
            (output, weight)
            for output, weight in zip(outputs, sent, strict=True)
            if output.requires_grad and weight is not None
        ]
        asked = [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.requires_grad]
        return list(
            torch.autograd.grad(
                [output for output, _ in pairs],
                asked,
                [weight for _, weight in pairs],
                allow_unused=True,
                retain_graph=True,
            )
        )

    def plain(self) -> list[Tensor | None]:
        """Return the gradients of one fresh call, with the usual weights."""
        leaves = self.leaves()
        outputs = self.run(leaves)
        return self.gradients(leaves, outputs, self.weights(outputs))

    def precise(self) -> "Replay":
        """Return the same call in float64, or this one if it does not compute in float64."""
        doubled = replace(self, args=tuple(map_tensors(arg, _doubled) for arg in self.args))
        shifted = replace(self, args=tuple(map_tensors(arg, _unrounded) for arg in doubled.args))
        try:
            with torch.no_grad():
                outputs = doubled.run(doubled.leaves(()))
                probed = shifted.run(shifted.leaves(()))
        except Exception:  # noqa: BLE001 - a kernel for float32 only may refuse in any way
            return self
        if not all(item.dtype in {torch.float64, torch.complex128} for item in outputs):
            return self
        return self if any(map(_rounded, probed)) else doubled


def replays(probe: Probe) -> list[Replay]:
    """Return the custom backward formulas that the layer uses, in both modes, each once.

    A graph of torch's own operators cannot hold a wrong formula, so a layer without any has none.

    Raises:
        Skip: the layer runs in neither mode.
    """
    if probe not in _SEEN:
        _SEEN[probe] = _found(probe)
    return _SEEN[probe]


def _found(probe: Probe) -> list[Replay]:
    if probe.subject.inputs is None:
        raise Skip("no example inputs were given")
    found: list[Replay] = []
    kinds: set[Any] = set()
    for training in (True, False):
        with recorded_functions() as calls:
            probe.attempt(lambda training=training: _pass(probe, training=training))  # type: ignore[misc]
        for call in calls:
            replay = _replay_of(call, "training" if training else "eval", probe.seed)
            kind = (
                call.cls,
                replay.wanted,
                *(
                    tuple(arg.shape) if isinstance(arg, Tensor) else repr(arg)[:60]
                    for arg in call.args
                ),
            )
            if kind not in kinds:
                kinds.add(kind)
                found.append(replay)
    found.extend(_operators(probe))
    return found


def _pass(probe: Probe, *, training: bool) -> None:
    """Run forward and backward; inputs require gradients if the layer bears it."""
    layer = probe.layer(training=training)
    inputs = probe.inputs().requiring_grad()
    attempt = probe.attempt(lambda: probe.call(layer, inputs))
    if attempt.raised:
        layer, inputs = probe.layer(training=training), probe.inputs()
        attempt = probe.attempt(lambda: probe.call(layer, inputs))
    if not attempt.raised:
        with contextlib.suppress(Skip):  # it raised, or nothing of it is in the graph
            probe.gradients_of(layer, inputs, attempt.output)


def _replay_of(call: FunctionCall, mode: str, seed: int) -> Replay:
    return Replay(
        name=call.cls.__name__,
        call=call.cls.apply,
        args=call.args,
        wanted=_wanted(call.args, call.needs_grad),
        labels=_labels(call),
        mode=mode,
        place=place_of_class(getattr(call.cls.backward, "__wrapped__", call.cls.backward)),
        written=call.written,
        seed=seed,
    )


def _labels(call: FunctionCall) -> tuple[str, ...]:
    """Return the names that forward gives to its arguments."""
    try:
        declared = list(inspect.signature(call.cls.forward).parameters.values())
    except (TypeError, ValueError):  # written in C
        declared = []
    if call.cls.setup_context is torch.autograd.Function.setup_context:
        declared = declared[1:]  # ctx
    names: list[str] = []
    for item in declared:
        if item.kind is item.VAR_POSITIONAL:
            rest = range(len(call.args) - len(names))
            names.extend(f"{item.name}[{place}]" for place in rest)
        else:
            names.append(item.name)
    names.extend(f"argument {place}" for place in range(len(names), len(call.args)))
    return tuple(names[: len(call.args)])


def _operators(probe: Probe) -> list[Replay]:
    """Return the operators of other libraries that have a formula for gradients."""
    attempt = probe.attempt(lambda: probe.ops)
    if attempt.raised:
        return []
    found: dict[str, Replay] = {}
    for op in attempt.output:
        if op.namespace in _TORCHS or op.name in found or op.overload._schema.is_mutable:  # noqa: SLF001
            continue
        args = tuple(map_tensors(arg, lambda item: item.detach().clone()) for arg in op.args)
        floats = [isinstance(arg, Tensor) and is_float(arg) for arg in args]
        replay = Replay(
            name=op.name,
            call=lambda *given, op=op: op.overload(*given, **op.kwargs),
            args=args,
            wanted=_wanted(args, floats),
            labels=tuple(item.name for item in op.overload._schema.arguments),  # noqa: SLF001
            mode="eval",
            place=op.place,
            seed=probe.seed,
        )
        if replay.wanted and _has_formula(replay):
            found[op.name] = replay
    return list(found.values())


_TORCHS = {"aten", "prim", "prims", "c10d", "_c10d_functional", "profiler", "quantized", "inductor"}


def _has_formula(replay: Replay) -> bool:
    try:
        return any(output.requires_grad for output in replay.run(replay.leaves()))
    except Exception:  # noqa: BLE001 - whatever it raises, there is nothing to compare
        return False


def _wanted(args: Sequence[Any], needs: Sequence[bool]) -> tuple[int, ...]:
    return tuple(
        place
        for place, (arg, need) in enumerate(zip(args, needs, strict=True))
        if need and isinstance(arg, Tensor) and is_float(arg) and arg.layout is torch.strided
    )


def _weights(output: Tensor, generator: torch.Generator) -> Tensor:
    if not output.is_complex():
        return weights_like(output, generator)
    parts = weights_like(torch.view_as_real(output.detach()), generator)
    return torch.view_as_complex(parts)


def _unrounded(tensor: Tensor) -> Tensor:
    """Return values next to these that float32 cannot hold."""
    return tensor * (1 - 1.1e-9) if is_float(tensor) else tensor


def _rounded(output: Tensor) -> bool:
    """Tell whether a float64 output passed through float32 on its way."""
    if output.is_complex() or bool((output == output.round()).all()):
        return False
    return bool((output == output.float().double()).all())


def _doubled(tensor: Tensor) -> Tensor:
    if tensor.is_complex():
        return tensor.to(torch.complex128)
    return tensor.double() if tensor.is_floating_point() else tensor


def argument_name(probe: Probe, replay: Replay, place: int) -> str:
    """Return the parameter or input that an argument is, with the Function that received it."""
    label = f"argument {replay.labels[place]} of {replay.name}"
    return ", ".join([*own_names(probe, replay, place)[:1], label])


def own_names(probe: Probe, replay: Replay, place: int) -> list[str]:
    """Return the parameters and inputs of the layer that an argument may be: equal tensors."""
    argument = replay.args[place]
    known = [
        *((name, item) for name, item in probe.layer().named_parameters()),
        *((f"input {item.name}", item.tensor) for item in probe.inputs().floats()),
    ]
    return [
        name
        for name, tensor in known
        if tensor.shape == argument.shape and torch.equal(tensor.detach(), argument)
    ]
