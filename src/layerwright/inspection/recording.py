"""Record one pass of a network: the calls of its modules as a tree, and what runs inside them."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from layerwright.contract.trees import Inputs, dtype_name, named_tensors
from layerwright.inspection.flops import flops_of
from layerwright.inspection.module_calls import watched_calls
from layerwright.inspection.torch_compat import (
    OperatorWatch,
    current_backward_node,
    memory_of,
    operator_name,
)


class TensorForm(NamedTuple):
    """A tensor without its values.

    Attributes:
        name: its place in what was passed or returned, such as "[0]" or "['mask']"; "" alone.
        shape: its shape.
        dtype: such as "float32".
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(eq=False)
class Costs:
    """What the operators of one call did, the calls inside it left out.

    Attributes:
        flops: counted floating-point operations of the forward pass.
        backward_flops: those of the backward pass.
        kept_bytes: memory that autograd keeps for the backward pass, parameters, buffers and
            inputs left out; a tensor that two calls keep belongs to the first.
    """

    flops: int = 0
    backward_flops: int = 0
    kept_bytes: int = 0


@dataclass(eq=False)
class Call:
    """One call of a module.

    Attributes:
        path: as `named_modules` calls the module; "" is the network.
        module: the module.
        inputs: forms of the tensors that it was called with.
        outputs: forms of the tensors that it returned.
        finished: whether it returned at all.
        parts: calls inside it, in order.
        costs: of its own operators.
    """

    path: str
    module: nn.Module
    inputs: tuple[TensorForm, ...]
    outputs: tuple[TensorForm, ...] = ()
    finished: bool = False
    parts: list["Call"] = field(default_factory=list)
    costs: Costs = field(default_factory=Costs)

    def walk(self) -> Iterator["Call"]:
        """Yield this call and all inside it, in the order in which they began."""
        yield self
        for part in self.parts:
            yield from part.walk()


@dataclass(eq=False)
class Recording:
    """One pass.

    Attributes:
        outside: holds the calls that were made from outside the network: its own, as a rule once.
        operators: how often each operator of torch ran in the forward pass, by name.
        uncounted: the names among them whose floating-point operations are not known.
        backward_uncounted: the same for the backward pass.
        backward_error: why there was no backward pass, if one was asked for.
        outputs: forms of what the network returned.
    """

    outside: Call
    operators: Counter[str] = field(default_factory=Counter)
    uncounted: Counter[str] = field(default_factory=Counter)
    backward_uncounted: Counter[str] = field(default_factory=Counter)
    backward_error: str = ""
    outputs: tuple[TensorForm, ...] = ()

    def calls(self) -> Iterator[Call]:
        """Yield all calls of modules, in the order in which they began."""
        for part in self.outside.parts:
            yield from part.walk()


def forms_of(value: Any) -> tuple[TensorForm, ...]:
    """Return the forms of all tensors of a tree."""
    return tuple(
        TensorForm("" if value is item else name, tuple(item.shape), dtype_name(item.dtype))
        for name, item in named_tensors(value)
    )


class Recorder:
    """Records one forward pass, and a backward pass behind it.

    Args:
        network: is called in the mode that it is in.
        inputs: what it is called with.
        backward: run a backward pass too.
    """

    def __init__(self, network: nn.Module, inputs: Inputs, *, backward: bool = False) -> None:
        self._network, self._inputs, self._with_backward = network, inputs, backward
        outside = Call("", nn.Module(), ())
        self.recording = Recording(outside)
        self._open = [outside]
        self._kept: dict[int, Any] = {}
        self._nodes: dict[Any, Call] = {}  # steps of the backward pass, and whose output they made
        self._first: dict[nn.Module, Call] = {}
        self._is_backward = False

    def run(self) -> Recording:
        """Run the network.

        What the network raises goes through; `recording` then holds the calls up to there.
        """
        for tensor in self._given():
            self._keep(tensor)
        hooks = saved_tensors_hooks(self._saved, lambda tensor: tensor)
        watch = OperatorWatch(self._forward_operator)
        with (
            torch.enable_grad(),
            watched_calls(self._network, self._began, self._ended),
        ):
            with hooks, watch:
                output = self._network(*self._inputs.args, **self._inputs.kwargs)
            self.recording.outputs = forms_of(output)
            if self._with_backward:
                self._backward(output)
        return self.recording

    def _given(self) -> Iterator[Tensor]:
        yield from self._network.parameters()
        yield from self._network.buffers()
        yield from (item.tensor for item in self._inputs.tensors())

    def _began(self, path: str, module: nn.Module, inputs: Inputs) -> None:
        if self._is_backward:  # computed again, to save memory
            self._open.append(self._first[module])
            return
        found = [
            TensorForm(name, tuple(item.shape), dtype_name(item.dtype))
            for name, item in inputs.tensors()
        ]
        self._claim(self._open[-1], (inputs.args, inputs.kwargs))
        call = Call(path, module, tuple(found))
        self._first.setdefault(module, call)
        self._open[-1].parts.append(call)
        self._open.append(call)

    def _ended(self, module: nn.Module, output: Any) -> None:
        while len(self._open) > 1:  # what lies above raised, and somebody caught it
            call = self._open.pop()
            if call.module is module:
                if not self._is_backward:
                    call.outputs, call.finished = forms_of(output), True
                    self._claim(call, output)
                break

    def _claim(self, call: Call, made: Any) -> None:
        """Note which steps of the backward pass belong to this call: those nobody else has."""
        waiting = [item.grad_fn for _, item in named_tensors(made) if item.grad_fn is not None]
        while waiting:
            node = waiting.pop()
            if node not in self._nodes:
                self._nodes[node] = call
                waiting.extend(after for after, _ in node.next_functions if after is not None)

    def _keep(self, tensor: Tensor) -> int:
        """Note a tensor's memory; return its size if it is new."""
        memory = memory_of(tensor)
        if memory is None or memory[0] in self._kept:
            return 0
        self._kept[memory[0]] = memory[1]  # alive, so that no other memory gets its place
        return int(memory[1].nbytes())

    def _saved(self, tensor: Tensor) -> Tensor:
        self._open[-1].costs.kept_bytes += self._keep(tensor)
        return tensor

    def _forward_operator(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[[], Any]
    ) -> Any:
        output = run()
        count, name = flops_of(func, args, kwargs, output), operator_name(func)
        self.recording.operators[name] += 1
        if count is None:
            self.recording.uncounted[name] += 1
        self._open[-1].costs.flops += count or 0
        return output

    def _backward_operator(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], run: Callable[[], Any]
    ) -> Any:
        output = run()
        count = flops_of(func, args, kwargs, output)
        if count is None:
            self.recording.backward_uncounted[operator_name(func)] += 1
        inside = self._open[-1] if len(self._open) > 1 else None  # computed again
        call = inside or self._nodes.get(current_backward_node(), self.recording.outside)
        call.costs.backward_flops += count or 0
        return output

    def _backward(self, output: Any) -> None:
        """Send a gradient of ones back to all parameters that want one; none is stored."""
        ends = [item for _, item in named_tensors(output) if item.requires_grad]
        starts = [item for item in self._network.parameters() if item.requires_grad]
        if not ends or not starts:
            reason = "no parameter requires a gradient" if not starts else "no output has one"
            self.recording.backward_error = reason
            return
        ones = [torch.ones_like(item) for item in ends]
        self._is_backward = True
        try:
            with OperatorWatch(self._backward_operator):
                torch.autograd.grad(ends, starts, ones, allow_unused=True)
        except Exception as error:  # noqa: BLE001 - a backward pass runs the user's code too
            text = " ".join(str(error).split())[:200]
            self.recording.backward_error = f"it raised {type(error).__name__}: {text}"
