"""Watching modules run: which parts of a layer ran, in order, with what, and which one raised."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from layerwright.contract.trees import Inputs, named_tensors


@dataclass(eq=False)
class ModuleCall:
    """One call of a part of a layer.

    Attributes:
        path: of the part, as `named_modules` calls it; "" is the layer.
        module: the part.
        inputs: what it was called with; the tensors themselves, not copies.
        output: what it returned.
        finished: whether it returned at all.
    """

    path: str
    module: nn.Module
    inputs: Inputs
    output: Any = None
    finished: bool = False

    @property
    def tensors_in(self) -> list[Tensor]:
        """The tensors among the arguments."""
        return [item.tensor for item in self.inputs.tensors()]

    @property
    def tensors_out(self) -> list[Tensor]:
        """The tensors that came out."""
        return [item.tensor for item in named_tensors(self.output)]


@dataclass
class ModuleCalls:
    """The calls of one or more forward passes, in the order in which they began.

    Attributes:
        begun: all calls.
        open: those that began and did not return, the outermost first.
    """

    begun: list[ModuleCall] = field(default_factory=list)
    open: list[ModuleCall] = field(default_factory=list)

    @property
    def finished(self) -> list[ModuleCall]:
        """The calls that returned."""
        return [call for call in self.begun if call.finished]


@contextmanager
def recorded_calls(layer: nn.Module) -> Iterator[ModuleCalls]:
    """Record the calls of all parts of a layer inside the block.

    A part that refuses hooks, as scripted ones may, is passed over. Tensors are kept alive: use it
    for one pass, and drop it.
    """
    calls = ModuleCalls()
    handles = []

    def watch(path: str, module: nn.Module) -> None:
        def before(_: nn.Module, args: Any, kwargs: Any) -> None:
            call = ModuleCall(path, module, Inputs(tuple(args), dict(kwargs)))
            calls.begun.append(call)
            calls.open.append(call)

        def after(_: nn.Module, args: Any, output: Any) -> None:
            del args
            while calls.open:  # what lies above raised, and somebody caught it
                call = calls.open.pop()
                if call.module is module:
                    call.output, call.finished = output, True
                    break

        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(after))

    for path, module in layer.named_modules():
        try:
            watch(path, module)
        except (RuntimeError, AttributeError, TypeError):  # scripted, or never initialised
            continue
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()
