"""Additive couplings whose backward computes their inputs again instead of keeping them."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp

from layerwright.errors import ShapeError
from layerwright.layers.hand_written import HandWrittenFunction, recording_backward

_transform_active = torch._C._are_functorch_transforms_active  # noqa: SLF001 - no public spelling


def couple(s: Tensor, t: Tensor, modules: Sequence[nn.Module]) -> tuple[Tensor, Tensor]:
    """Add what each module makes of one stream to the other, by turns: s + h(t), then t + h(s).

    Where reverse mode will ask for gradients, `CouplingFunction` is used. Elsewhere, and in
    forward mode, under `torch.func` transforms, `torch.compile` and `torch.export`, it is plain
    operators, which keep what they need.

    Args:
        s: any shape.
        t: any shape; each module maps the shape of one stream to that of the other.
        modules: an even number, so that the streams come back in their order.

    Raises:
        ShapeError: a module returns another shape.
    """
    if (
        isinstance(s, Tensor)  # and no symbol of torch.fx
        and recording_backward()
        and not torch.compiler.is_compiling()
        and not _transform_active()
    ):
        passage = Passage(modules, s.device)
        if any(tensor.requires_grad for tensor in (s, t, *passage.parameters)):
            return CouplingFunction.apply(s, t, passage, *passage.parameters)
    for module in modules:
        s, t = t, added(s, module(t), module)
    return s, t


@torch.fx.wrap  # symbolic tracing records the call and leaves its decision to the run
def added(stream: Tensor, change: Tensor, module: nn.Module) -> Tensor:
    """Add without broadcasting, in the type of the stream.

    Raises:
        ShapeError: the shapes differ.
    """
    if change.shape != stream.shape:
        raise ShapeError(
            f"a reversible block expected {type(module).__name__} to return the shape of the other "
            f"half, {tuple(stream.shape)}, received {tuple(change.shape)}. "
            f"Fix: keep the shape inside of f and g."
        )
    return stream + change.to(stream.dtype)


class CouplingFunction(HandWrittenFunction):
    """Couplings; backward walks them from the output back and keeps one at a time."""

    @staticmethod
    def forward(
        s: Tensor,
        t: Tensor,
        passage: "Passage",
        *parameters: Tensor,  # noqa: ARG004 - inputs, so that autograd asks for their gradients
    ) -> tuple[Tensor, Tensor]:
        """Return both streams after all couplings."""
        for number, module in enumerate(passage.modules):
            s, t = t, added(s, passage.run(number, t), module)
        return s, t

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        """Keep the output, and the parameters, which are there anyway."""
        ctx.passage = inputs[2]
        ctx.save_for_backward(*output, *inputs[3:])

    @staticmethod
    def backward(ctx: Any, grad_s: Tensor, grad_t: Tensor) -> tuple[Tensor | None, ...]:
        """Undo each coupling, s' = s + h(t), from the last on.

        With G the gradient of s', which is that of s as well, that of t grows by G dh/dt, and a
        parameter of h gets G dh/dp.
        """
        passage: Passage = ctx.passage
        s, t, *parameters = ctx.saved_tensors
        grads: list[Tensor | None] = [None] * len(parameters)
        pull_back = _pull_back_for_graph if torch.is_grad_enabled() else _pull_back
        for number in reversed(range(len(passage.modules))):
            s, t, grad_s, grad_t = t, s, grad_t, grad_s
            indices = [
                index
                for index in passage.indices[number].values()
                if ctx.needs_input_grad[3 + index]
            ]
            change, grad_more, found = pull_back(passage, number, t, parameters, indices, grad_s)
            s = s - change.to(s.dtype)
            grad_t = grad_t if grad_more is None else grad_t + grad_more
            for index, grad in zip(indices, found, strict=True):
                before = grads[index]
                grads[index] = grad if before is None or grad is None else before + grad
                if grad is None:
                    grads[index] = before
        return grad_s, grad_t, None, *grads


def _pull_back(
    passage: "Passage",
    number: int,
    t: Tensor,
    parameters: Sequence[Tensor],
    indices: Sequence[int],
    grad: Tensor,
) -> tuple[Tensor, Tensor | None, Sequence[Tensor | None]]:
    """Return h(t), and what it passes back to t and to those parameters."""
    leaf = t.detach().requires_grad_()
    leaves = [p.detach() for p in parameters]
    for index in indices:
        leaves[index].requires_grad_()
    with torch.enable_grad():
        change = passage.run_again(number, leaf, leaves)
    if not change.requires_grad:
        return change, None, [None] * len(indices)
    grad_t, *grads = torch.autograd.grad(
        change,
        [leaf, *(leaves[index] for index in indices)],
        grad.to(change.dtype),
        allow_unused=True,
    )
    return change.detach(), grad_t, grads


def _pull_back_for_graph(
    passage: "Passage",
    number: int,
    t: Tensor,
    parameters: Sequence[Tensor],
    indices: Sequence[int],
    grad: Tensor,
) -> tuple[Tensor, Tensor | None, Sequence[Tensor | None]]:
    """Do the same so that the result can be differentiated again.

    `t` and the parameters hang together in the graph that has been walked so far; a transform
    differentiates by h alone, whatever they hang on.
    """

    def function(stream: Tensor, *chosen: Tensor) -> Tensor:
        values = list(parameters)
        for index, value in zip(indices, chosen, strict=True):
            values[index] = value
        return passage.run_again(number, stream, values)

    chosen = (parameters[index] for index in indices)
    change, pull, *_ = vjp(function, t, *chosen)
    grad_t, *grads = pull(grad.to(change.dtype))
    return change, grad_t, grads


@dataclass(frozen=True)
class Before:
    """What a module found when it ran: empty for most.

    Attributes:
        buffers: by name, as they were.
        random: states of random generators, by device.
    """

    buffers: dict[str, Tensor]
    random: dict[torch.device, Tensor]


class Passage:
    """One pass through the modules: how to run each of them again as it ran then.

    That is with the same parameters, autocast setting, random numbers and buffers, and without a
    second change to the module's own buffers, such as running statistics. Random states are kept
    only where numbers were drawn, buffers in training or where they were changed.

    Args:
        modules: the modules, in order.
        device: that of the streams.
    """

    def __init__(self, modules: Sequence[nn.Module], device: torch.device) -> None:
        self.modules = modules
        self.parameters: list[Tensor] = []
        self.indices: list[dict[str, int]] = []  # of the parameters, by name, for each module
        known: dict[int, int] = {}
        for module in modules:
            own = {}
            for name, parameter in module.named_parameters():
                if id(parameter) not in known:
                    known[id(parameter)] = len(self.parameters)
                    self.parameters.append(parameter)
                own[name] = known[id(parameter)]
            self.indices.append(own)
        self._before: list[Before] = []
        self._devices = {torch.device("cpu"), device}
        self._autocast = [
            (kind, torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))
            for kind in {device.type for device in self._devices}
            if torch.amp.is_autocast_available(kind)
        ]

    def run(self, number: int, t: Tensor) -> Tensor:
        """Run a module for the first time."""
        module = self.modules[number]
        random = {device: _random_state(device) for device in self._devices}
        buffers = dict(module.named_buffers())
        versions = {name: buffer._version for name, buffer in buffers.items()}  # noqa: SLF001
        copies = {name: buffer.clone() for name, buffer in buffers.items()}
        change = module(t)
        # In training all copies are kept: torch's batch normalisation changes its statistics
        # without counting their version up, and to compare values would wait for the device.
        self._before.append(
            Before(
                {
                    name: copies[name]
                    for name, buffer in buffers.items()
                    if module.training or buffer._version != versions[name]  # noqa: SLF001
                },
                {
                    device: state
                    for device, state in random.items()
                    if not torch.equal(state, _random_state(device))
                },
            )
        )
        return change

    def run_again(self, number: int, t: Tensor, parameters: Sequence[Tensor]) -> Tensor:
        """Run a module as it ran then, on these values of all parameters."""
        before = self._before[number]
        state = {name: parameters[index] for name, index in self.indices[number].items()}
        state |= {name: buffer.clone() for name, buffer in before.buffers.items()}
        with ExitStack() as then:
            for kind, enabled, dtype in self._autocast:
                then.enter_context(torch.autocast(kind, dtype, enabled=enabled))
            for device in before.random:
                if device.type != "cpu":
                    then.enter_context(torch.random.fork_rng([device], device_type=device.type))
            if before.random:
                then.enter_context(torch.random.fork_rng([]))
            for device, random in before.random.items():
                _set_random_state(device, random)
            return functional_call(self.modules[number], state, (t,))


def _random_state(device: torch.device) -> Tensor:
    """Return the state of the device's default generator; empty where it has none."""
    if device.type == "cpu":
        return torch.get_rng_state()
    if device.type == "meta":
        return torch.empty(0)
    return torch.get_device_module(device).get_rng_state(device)


def _set_random_state(device: torch.device, state: Tensor) -> None:
    if device.type == "cpu":
        torch.set_rng_state(state)
    else:
        torch.get_device_module(device).set_rng_state(state, device)
