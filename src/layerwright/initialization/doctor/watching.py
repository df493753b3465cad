"""Watch one pass of a network: what each layer puts out, for one input and for another."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from layerwright.initialization.doctor.activations import FunctionWatch, activation_of, flatness
from layerwright.initialization.examples import ExampleInputs, floats_in
from layerwright.initialization.structure import places
from layerwright.random_numbers import seed_all_devices

_WEIGHTS = ("convolution", "linear", "recurrent", "weight")


@dataclass
class Call:
    """One call of a layer: its output, its input, and where the gradient of the output passes."""

    output: Tensor
    input: Tensor | None
    edge: GradientEdge | None


@dataclass
class Row:
    """All calls of one layer or activation in one pass."""

    name: str
    kind: str
    role: str
    module: nn.Module | None
    calls: list[Call] = field(default_factory=list)
    flatness: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class Pass:
    """One forward pass: rows in the order of first calls, and the network's output."""

    rows: dict[str, Row]
    outputs: list[Tensor]


def roles_of(network: nn.Module) -> dict[nn.Module, str]:
    """Return the modules that own weights, as "layer", and those that own tables, as "table"."""
    found: dict[nn.Module, str] = {}
    for place in places(network):
        if place.kind in _WEIGHTS:
            found[place.owner] = "layer"
        elif place.kind == "embedding":
            found.setdefault(place.owner, "table")
    return found


def watch(
    network: nn.Module, inputs: ExampleInputs, seed: int, *, as_in: Pass | None = None
) -> Pass:
    """Run a network and note what its layers and activations put out.

    Args:
        network: its mode stays; buffers may change.
        inputs: of the pass; they are cloned.
        seed: of the pass's random numbers.
        as_in: an earlier pass, whose activations are watched again; None looks which modules are
            activations, and where they are flat.
    """
    hooks = _Hooks(network, None if as_in is None else set(as_in.rows))
    try:
        seed_all_devices(seed)
        given = inputs.map(Tensor.clone)
        with FunctionWatch(hooks.told):
            output = network(*given.args, **given.kwargs)
    finally:
        hooks.remove()
    if as_in is None:
        hooks.judge_activations()
    return Pass(_without_containers(hooks.rows), floats_in(output))


class _Hooks:
    """Hooks on the layers of a network, and on modules without parameters, for one pass.

    Args:
        network: the network.
        wanted: the rows to note; None for all that may be an activation.
    """

    def __init__(self, network: nn.Module, wanted: set[str] | None) -> None:
        self.rows: dict[str, Row] = {}
        self._wanted = wanted
        self._roles = roles_of(network)
        self._names = {module: name or "(network)" for name, module in network.named_modules()}
        self._running: list[nn.Module] = []  # the watched modules in whose forward we are
        self._before: dict[nn.Module, Tensor] = {}  # inputs, which activations may overwrite
        self._last = "input"
        self._called: list[tuple[Row, nn.Module, Tensor]] = []  # modules without parameters
        self._functions: list[tuple[Row, Callable[[Tensor], Tensor], Tensor]] = []
        self._handles = []
        for module in network.modules():
            held = any(True for _ in module.children()) or any(True for _ in module.parameters())
            if module in self._roles or not held:
                self._handles.append(module.register_forward_pre_hook(self._enter))
                self._handles.append(module.register_forward_hook(self._leave, with_kwargs=True))

    def remove(self) -> None:
        """Take all hooks away."""
        for handle in self._handles:
            handle.remove()

    def told(self, name: str, x: Tensor, y: Tensor, again: Callable[[Tensor], Tensor]) -> None:
        """Note an activation that was called as a function."""
        owners = [module for module in self._running if module in self._roles]
        if len(owners) < len(self._running) or not x.is_floating_point() or not y.numel():
            return  # inside a module that is an activation itself
        place = self._names[owners[-1]] if owners else self._last
        row = self._note(Row(f"{place}: {name}", name, "activation", None), None, y)
        self._functions.append((row, again, x))

    def judge_activations(self) -> None:
        """Keep the modules that turn out to be activations, and look where all are flat.

        After the pass, because what is tried here must not be watched.
        """
        activations: dict[str, Any] = {}
        for row, module, x in self._called:
            if row.name not in activations:
                activations[row.name] = activation_of(module, x, row.calls[0].output)
                if activations[row.name] is None:
                    self.rows.pop(row.name)
            if activations[row.name] is not None:
                self._functions.append((row, activations[row.name], x))
        for row, again, x in self._functions:
            if (found := flatness(again, x)) is not None:
                row.flatness.append(found)

    def _enter(self, module: nn.Module, args: Any) -> None:
        self._running.append(module)
        if module not in self._roles and (given := floats_in(args)):
            self._before[module] = given[0].detach().clone()

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if module in self._running:
            self._running.remove(module)
        x, put = self._before.pop(module, None), floats_in(output)
        if not put:
            return
        name, kind = self._names[module], type(module).__name__
        if module in self._roles:
            self._last = name
            given = floats_in((args, kwargs))
            x = given[0].detach().clone() if given else None
            self._note(Row(name, kind, self._roles[module], module), x, put[0])
        elif x is not None and (self._wanted is None or name in self._wanted):
            row = self._note(Row(name, kind, "activation", None), None, put[0])
            self._called.append((row, module, x))

    def _note(self, row: Row, x: Tensor | None, y: Tensor) -> Row:
        edge = get_gradient_edge(y) if y.requires_grad else None
        found = self.rows.setdefault(row.name, row)
        found.calls.append(Call(y.detach().clone(), x, edge))
        return found


def _without_containers(rows: dict[str, Row]) -> dict[str, Row]:
    """Leave out modules that hold a weight beside layers of their own, as a class token is."""
    modules = [row.module for row in rows.values() if row.module is not None]
    containers = {
        module
        for module in modules
        if any(part is not module and part in modules for part in module.modules())
    }
    return {name: row for name, row in rows.items() if row.module not in containers}


def final_rows(rows: dict[str, Row], outputs: list[Tensor]) -> set[str]:
    """Return the layers whose output reaches the network's without passing another layer."""
    layers = {
        call.edge.node: row.name
        for row in rows.values()
        if row.role == "layer"
        for call in row.calls
        if call.edge is not None
    }
    found: set[str] = set()
    seen: set[Any] = set()
    waiting = [tensor.grad_fn for tensor in outputs if tensor.grad_fn is not None]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in layers:
            found.add(layers[node])
        else:
            waiting.extend(child for child, _ in node.next_functions if child is not None)
    return found


def projected(outputs: list[Tensor], seed: int) -> Tensor | None:
    """Return a random projection of the outputs, whose gradient there has norm one."""
    tensors = [tensor for tensor in outputs if tensor.requires_grad]
    if not tensors:
        return None
    generator = torch.Generator().manual_seed(seed)
    drawn = [torch.randn(tensor.shape, generator=generator) for tensor in tensors]
    norm = torch.stack([item.norm() for item in drawn]).norm()
    parts = [
        (tensor * (item / norm).to(tensor)).sum()
        for tensor, item in zip(tensors, drawn, strict=True)
    ]
    return torch.stack([part.to(parts[0]) for part in parts]).sum()
