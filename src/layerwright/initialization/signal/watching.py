"""Hooks that see what each layer and each activation of a network puts out in a forward pass."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge, saved_tensors_hooks

from layerwright.initialization.examples import floats_in
from layerwright.initialization.filling import accelerators_of
from layerwright.initialization.signal.activations import FunctionWatch, activation_of, flatness
from layerwright.initialization.structure import places
from layerwright.random_numbers import random_numbers_kept

_WEIGHTS = ("convolution", "linear", "recurrent", "weight")

Kept = TypeVar("Kept")


@dataclass
class Row(Generic[Kept]):
    """All calls of one layer or activation in one pass.

    Attributes:
        name: as in `named_modules`; an activation that is a function is called "after: function".
        kind: the class of the module, or the function.
        role: "layer" for a module with weights, "table" for an embedding, "activation" else.
        module: the layer or table.
        calls: what was kept of each call.
        edges: where the gradients of the outputs pass.
        flatness: of each call of an activation the share of dead units, and of saturated values.
    """

    name: str
    kind: str
    role: str
    module: nn.Module | None
    calls: list[Kept] = field(default_factory=list)
    edges: list[GradientEdge] = field(default_factory=list)
    flatness: list[tuple[float, float]] = field(default_factory=list)


def roles_of(network: nn.Module) -> dict[nn.Module, str]:
    """Return the modules that own weights, as "layer", and those that own tables, as "table"."""
    found: dict[nn.Module, str] = {}
    for place in places(network):
        if place.kind in _WEIGHTS:
            found[place.owner] = "layer"
        elif place.kind == "embedding":
            found.setdefault(place.owner, "table")
    return found


class SignalHooks(Generic[Kept]):
    """Watches the next forward pass of a network; what the pass computes stays as it is.

    Modules without parameters are looked at too, whether they are activations, by calling them
    once more on a few values. That draws from no generator and sets nothing on the module itself.

    Args:
        network: its first pass after `attach` is watched, later ones are not.
        keep: gets the output of each call, and the input of a layer, and returns what to keep.
        wanted: the rows to note, as known from an earlier pass; None looks for them, and where
            activations are flat.
    """

    def __init__(
        self,
        network: nn.Module,
        keep: Callable[[Tensor, Tensor | None], Kept],
        wanted: set[str] | None = None,
    ) -> None:
        self.outputs: list[Tensor] = []  # of the network
        self._network = network
        self._keep = keep
        self._wanted = wanted
        self._rows: dict[str, Row[Kept]] = {}
        self._roles = roles_of(network)
        self._names = {module: name or "(network)" for name, module in network.named_modules()}
        self._accelerators = accelerators_of(network)
        self._functions: AbstractContextManager[Any] = FunctionWatch(self._told)
        self._depth = 0  # of calls of the network within itself
        self._seen = False
        self._trying = False  # what is tried here must not be watched
        self._running: list[nn.Module] = []  # the watched modules in whose forward we are
        self._before: dict[nn.Module, Tensor] = {}  # inputs, which activations may overwrite
        self._last = "input"
        self._handles: list[Any] = []

    def attach(self) -> None:
        """Hang hooks on the network, on its layers, and on modules without parameters."""
        hang = self._handles.append
        hang(self._network.register_forward_pre_hook(self._begin))
        for module in self._network.modules():
            if isinstance(module, torch.jit.ScriptModule):
                continue  # takes no hooks
            held = any(True for _ in module.children()) or any(True for _ in module.parameters())
            if module in self._roles or not held:
                hang(module.register_forward_pre_hook(self._enter))
                hang(module.register_forward_hook(self._leave, with_kwargs=True))
        hang(self._network.register_forward_hook(self._end, always_call=True))

    def remove(self) -> None:
        """Take all hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self._depth and not self._seen:  # a Ctrl-C in the middle of a pass
            self._functions.__exit__(None, None, None)
            self._depth = 0

    def layers(self) -> list[nn.Module]:
        """Return the modules that own weights or tables."""
        return list(self._roles)

    def rows(self) -> dict[str, Row[Kept]]:
        """Return what was seen, in the order of first calls.

        Modules that hold a weight beside layers of their own, as a class token is, are left out.
        """
        modules = [row.module for row in self._rows.values() if row.module is not None]
        containers = {
            module
            for module in modules
            if any(part is not module and part in modules for part in module.modules())
        }
        return {name: row for name, row in self._rows.items() if row.module not in containers}

    def _begin(self, _network: nn.Module, _args: Any) -> None:
        self._depth += 1
        if self._depth == 1 and not self._seen:
            self._functions.__enter__()

    def _end(self, _network: nn.Module, _args: Any, output: Any) -> None:
        self._depth -= 1
        if self._depth == 0 and not self._seen:
            self._functions.__exit__(None, None, None)
            self._seen = True
            self.outputs = floats_in(output)

    @property
    def _watching(self) -> bool:
        return self._depth > 0 and not self._seen and not self._trying

    def _enter(self, module: nn.Module, args: Any) -> None:
        if not self._watching:
            return
        self._running.append(module)
        if module not in self._roles and (given := floats_in(args)):
            self._before[module] = given[0].detach().clone()

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        if module in self._running:
            self._running.remove(module)
        x, put = self._before.pop(module, None), floats_in(output)
        if not put or not self._watching:
            return
        name, kind = self._names[module], type(module).__name__
        if module in self._roles:
            self._last = name
            given = floats_in((args, kwargs))
            row: Row[Kept] = Row(name, kind, self._roles[module], module)
            self._note(row, put[0], given[0] if given else None)
        elif x is None:
            return
        elif self._wanted is not None:
            if name in self._wanted:
                self._note(Row(name, kind, "activation", None), put[0], None)
        else:
            again = self._as_activation(module, x, put[0])
            if again is not None:
                self._judge(self._note(Row(name, kind, "activation", None), put[0], None), again, x)

    def _as_activation(
        self, module: nn.Module, x: Tensor, y: Tensor
    ) -> Callable[[Tensor], Tensor] | None:
        """Return what repeats the call of a module on another tensor, if it is an activation."""
        try:
            twin = copy.copy(module)  # a module that counts its calls must not count ours
        except Exception:  # noqa: BLE001 - a user's class, or a compiled module, may refuse
            return None
        with self._aside():
            return activation_of(twin, x, y)

    def _told(self, name: str, x: Tensor, y: Tensor, again: Callable[[Tensor], Tensor]) -> None:
        """Note an activation that was called as a function."""
        if not self._watching:
            return
        owners = [module for module in self._running if module in self._roles]
        if len(owners) < len(self._running) or not x.is_floating_point() or not y.numel():
            return  # inside a module that is an activation itself
        place = self._names[owners[-1]] if owners else self._last
        row = self._note(Row(f"{place}: {name}", name, "activation", None), y, None)
        if self._wanted is None:
            self._judge(row, again, x)

    def _note(self, row: Row[Kept], y: Tensor, x: Tensor | None) -> Row[Kept]:
        found = self._rows.setdefault(row.name, row)
        if y.requires_grad:
            found.edges.append(get_gradient_edge(y))
        found.calls.append(self._keep(y, x))
        return found

    def _judge(self, row: Row[Kept], again: Callable[[Tensor], Tensor], x: Tensor) -> None:
        with self._aside():
            if (found := flatness(again, x)) is not None:
                row.flatness.append(found)

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Try something in the middle of a pass, which must not notice.

        Activation checkpointing counts the tensors that are saved for backward: ours do not count.
        """
        self._trying = True
        try:
            with random_numbers_kept(*self._accelerators), saved_tensors_hooks(_same, _same):
                yield
        finally:
            self._trying = False


def _same(value: Any) -> Any:
    return value


def final_rows(rows: Mapping[str, Row[Any]], outputs: list[Tensor]) -> set[str]:
    """Return the layers whose output reaches the network's without passing another layer."""
    layers = {
        edge.node: row.name for row in rows.values() if row.role == "layer" for edge in row.edges
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
