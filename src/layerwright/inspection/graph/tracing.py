"""Record where each tensor of one pass comes from and where it goes, call by call."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from layerwright.contract.trees import Inputs, named_tensors
from layerwright.inspection.module_calls import watched_calls
from layerwright.inspection.torch_compat import memory_of

# What asks a tensor for its values: the course, or a shape, may depend on them from there on.
_READS = frozenset(
    {
        "__bool__", "__complex__", "__float__", "__index__", "__int__", "__contains__", "allclose",
        "argwhere", "equal", "is_nonzero", "item", "masked_select", "nonzero", "numpy", "tolist",
        "unique", "unique_consecutive",
    }
)  # fmt: skip

_SAME_VALUES = frozenset(
    {"clone", "contiguous", "cpu", "cuda", "detach", "flatten", "reshape", "to"}
)


@dataclass(eq=False)
class Value:
    """A tensor as one step made it.

    Attributes:
        maker: the step; None for an input of the network, or a constant.
        shape: its shape.
        dtype: its dtype.
        matters: whether it depends on the network's inputs, or came out of a module.
    """

    maker: "Step | None"
    shape: tuple[int, ...]
    dtype: torch.dtype
    matters: bool


@dataclass(eq=False)
class Step:
    """One function of torch, as the network's code called it.

    Attributes:
        name: such as "relu" or "add"; "" if a call returned what it was given.
        owner: the call that it stands in.
        takes: what it was given.
        makes: what it returned.
        parameters: names of the parameters that it was given.
        reads_values: whether it asked a tensor for its values.
        only_moves: whether it returns what it was given in another shape.
    """

    name: str
    owner: "TracedCall"
    takes: list[Value] = field(default_factory=list)
    makes: list[Value] = field(default_factory=list)
    parameters: tuple[str, ...] = ()
    reads_values: bool = False
    only_moves: bool = False


@dataclass(eq=False)
class TracedCall:
    """One call of a module.

    Attributes:
        path: of the module; "" is the network.
        module: the module.
        owner: the call that it stands in; None for the network's own.
        call: which call of this module it is, from 1.
        takes: the tensors that it was called with.
        makes: those that it returned.
        finished: whether it returned at all.
        parts: calls and steps inside it, in order.
    """

    path: str
    module: nn.Module
    owner: "TracedCall | None"
    call: int
    takes: list[Value] = field(default_factory=list)
    makes: list[Value] = field(default_factory=list)
    finished: bool = False
    parts: list["TracedCall | Step"] = field(default_factory=list)

    def steps(self) -> Iterator[Step]:
        """Yield all steps inside, at any depth."""
        for part in self.parts:
            if isinstance(part, Step):
                yield part
            else:
                yield from part.steps()

    def calls(self) -> Iterator["TracedCall"]:
        """Yield this call and all inside."""
        yield self
        for part in self.parts:
            if isinstance(part, TracedCall):
                yield from part.calls()


class Tracer:
    """Runs a network once, without autograd, and records its calls and steps.

    Args:
        network: is called in the mode that it is in.
        inputs: what it is called with.
    """

    def __init__(self, network: nn.Module, inputs: Inputs) -> None:
        self._network, self._inputs = network, inputs
        self.root: TracedCall | None = None
        self._open: list[TracedCall] = []
        self._values: dict[int, Value] = {}
        self._aliases: dict[int, set[int]] = {}  # of the same memory: what is written to one
        self._alive: list[Any] = []  # so that no other tensor gets the identity of one seen
        self._numbers: dict[nn.Module, int] = {}
        self._parameters = {
            id(item): name for name, item in network.named_parameters(remove_duplicate=False)
        }

    def run(self) -> None:
        """Run the network; what it raises goes through."""
        with (
            torch.no_grad(),
            watched_calls(self._network, self._began, self._ended),
            _Functions(self),
        ):
            self._network(*self._inputs.args, **self._inputs.kwargs)

    def _began(self, path: str, module: nn.Module, inputs: Inputs) -> None:
        self._numbers[module] = self._numbers.get(module, 0) + 1
        owner = self._open[-1] if self._open else None
        call = TracedCall(path, module, owner, self._numbers[module])
        tensors = [item.tensor for item in inputs.tensors()]
        if owner is None:
            if self.root is not None:
                raise RuntimeError("the network calls itself from outside")
            self.root = call
            call.takes = [self._made(item, None, matters=True) for item in tensors]
        else:
            owner.parts.append(call)
            call.takes = [value for item in tensors if (value := self._value_of(item))]
        self._open.append(call)

    def _ended(self, module: nn.Module, output: Any) -> None:
        while self._open:  # what lies above raised, and somebody caught it
            call = self._open.pop()
            if call.module is module:
                break
        else:
            return
        call.finished = True
        own = {id(value) for step in call.steps() for value in step.makes}
        for _, tensor in named_tensors(output):
            value = self._value_of(tensor)
            if call.owner is not None and (value is None or id(value) not in own):
                # It returns what it was given, or what no function of torch was seen to make.
                takes = [value] if value is not None else call.takes
                step = Step("", call, takes)
                call.parts.append(step)
                value = self._made(tensor, step, matters=True)
                step.makes.append(value)
            elif value is None:
                value = self._made(tensor, None, matters=True)
            value.matters = True
            call.makes.append(value)

    def noted(self, func: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Note a function that the network's code called."""
        if not self._open:
            return
        name = _name_of(func)
        given = [item.tensor for item in named_tensors((args, kwargs))]
        made = [item.tensor for item in named_tensors(output)]
        if name == "__setitem__":
            made = given[:1]
        reads = name in _READS or (name == "__getitem__" and _asks_a_mask(args))
        takes = [value for item in given if (value := self._value_of(item))]
        if (not made and not reads) or not given:
            for item in made:  # a constant
                self._made(item, None, matters=False)
            return
        step = Step(
            name,
            self._open[-1],
            takes,
            parameters=tuple(
                self._parameters[id(item)].rpartition(".")[2]
                for item in given
                if id(item) in self._parameters
            ),
            reads_values=reads and any(value.matters for value in takes),
        )
        step.only_moves = len(takes) == 1 == len(made) == len(given) and _moves(
            name, given[0], made[0]
        )
        self._open[-1].parts.append(step)
        matters = any(value.matters for value in takes)
        step.makes = [self._made(item, step, matters=matters) for item in made]
        if made and made[0] is given[0] and not step.only_moves:
            self._written(made[0], step)

    def _made(self, tensor: Tensor, maker: Step | None, *, matters: bool) -> Value:
        value = Value(maker, tuple(tensor.shape), tensor.dtype, matters)
        self._alive.append(tensor)
        self._values[id(tensor)] = value
        if (memory := memory_of(tensor)) is not None:
            self._alive.append(memory[1])
            self._aliases.setdefault(memory[0], set()).add(id(tensor))
        return value

    def _written(self, tensor: Tensor, step: Step) -> None:
        """Note that a step changed a tensor, and with it the others of the same memory."""
        memory = memory_of(tensor)
        for other in self._aliases.get(memory[0], set()) if memory is not None else ():
            old = self._values[other]
            if old.maker is not step:
                self._values[other] = Value(step, old.shape, old.dtype, matters=True)
                step.makes.append(self._values[other])

    def _value_of(self, tensor: Tensor) -> Value | None:
        return None if id(tensor) in self._parameters else self._values.get(id(tensor))


class _Functions(TorchFunctionMode):
    """Tells a tracer of each function of torch that the network's code calls."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the function; what it calls itself is not told of."""
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        self._tracer.noted(func, args, kwargs, output)
        return output


def _name_of(func: Any) -> str:
    name = getattr(func, "__name__", type(func).__name__)
    if name == "__get__":  # a property of a tensor, such as T
        return str(getattr(getattr(func, "__self__", None), "__name__", "property"))
    return str(name)


def _asks_a_mask(args: Any) -> bool:
    """Tell whether a tensor is indexed with a mask, which decides the shape of the result."""
    index = args[1] if len(args) > 1 else None
    parts = index if isinstance(index, tuple) else (index,)
    return any(isinstance(item, Tensor) and item.dtype is torch.bool for item in parts)


def _moves(name: str, given: Tensor, made: Tensor) -> bool:
    """Tell whether what came out is what went in, seen in another shape or put elsewhere."""
    if name in _SAME_VALUES:
        return True
    if made is given:
        return False  # in place
    one, other = memory_of(given), memory_of(made)
    return one is not None and other is not None and one[0] == other[0]
