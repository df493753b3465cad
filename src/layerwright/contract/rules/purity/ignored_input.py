"""PUR006 ignored-input."""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.torch_compat.dispatch import OpRecorder
from layerwright.contract.trees import is_float, named_tensors
from layerwright.random_numbers import seed_all

# Operators that ask a tensor for its shape, dtype and device only.
_SHAPES_ONLY = {
    "empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like",
    "randint_like", "new_empty", "new_zeros", "new_ones", "new_full", "sym_size", "size",
}  # fmt: skip
# Methods that hand values to Python, where no one can follow them: to an `if`, or into a list.
_TO_PYTHON = {
    "item", "tolist", "numpy", "equal", "allclose",
    "__bool__", "__int__", "__float__", "__index__", "__array__",
}  # fmt: skip
_NOWHERE = 0


@rule(
    "PUR006",
    "ignored-input",
    promise="every input that the layer demands has a part in its answer",
    family="purity",
    severity="warning",
    needs=("forward", "deterministic"),
    requires=("PUR005",),
    since="0.1",
)
def ignored_input(probe: Probe) -> Iterator[Finding]:
    """Follows each required input through the operators, and changes its values, in both modes.

    ## Why is this bad
    The caller computes a mask or a condition and hands it over, and nothing is done with it. The
    network trains, on something else than its author thinks.

    ## Bad
    ```python
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x, condition):
            gate = torch.sigmoid(self.linear(x))
            return x * gate


    case = Case(Gate, inputs=(torch.randn(4, 8), torch.randn(4, 8)))
    ```

    ## Good
    ```python
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x, condition):
            gate = torch.sigmoid(self.linear(condition))
            return x * gate


    case = Case(Gate, inputs=(torch.randn(4, 8), torch.randn(4, 8)))
    ```

    ## How to fix
    Use the input, or take it out of forward's arguments; give it the default None if a common
    interface demands it.

    ## Limits
    Arguments with a default, `*args` and tensors inside of containers are not judged, and neither
    is an input that is asked for its shape, dtype or device alone. An input that reaches the answer
    through operators counts as used, also where it changes nothing yet, as behind a gate that
    starts at zero, and so does one that becomes a number or a truth value of Python.
    """
    required = _required(probe)
    if not required:
        probe.skip("forward demands no tensor by name")
    with torch.no_grad():
        for name in required:
            modes = [mode for mode in (False, True) if _runs(probe, training=mode)]
            uses = [_use(probe, name, training=mode) for mode in modes]
            if "used" in uses or "shape" in uses or any(_matters(probe, name, m) for m in modes):
                continue
            computed = "computed" in uses
            place = probe.place()
            yield Finding(
                where=f"forward, input {name}",
                expected=f"an answer that {name} has a part in",
                found=(
                    f"what is computed from {name} reaches no output"
                    if computed
                    else f"no operator reads {name}"
                )
                + "; other values of it change nothing, in eval and training mode",
                fix=f"use {name} in forward, or take it out of the arguments",
                file=place.file,
                line=place.line,
            )


def _required(probe: Probe) -> list[str]:
    """Return the inputs that are tensors, and arguments without a default."""
    inputs = probe.inputs()
    try:
        parameters = inspect.signature(probe.subject.layer.forward).parameters
    except (TypeError, ValueError):
        return []
    given = {item.name for item in inputs.tensors()}
    return [
        name
        for name, parameter in parameters.items()
        if name in given
        and parameter.default is parameter.empty
        and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
    ]


def _runs(probe: Probe, *, training: bool) -> bool:
    return (probe.train_attempt if training else probe.eval_attempt).raised is None


def _use(probe: Probe, name: str, *, training: bool) -> str:
    """Return what becomes of an input.

    Returns:
        "used" if it reaches an output, "shape" if only its shape, dtype or device is asked for,
        "computed" if operators read it and their results are dropped, "" if nothing happens.
    """
    layer, inputs = probe.layer(training=training), probe.inputs()
    (tensor,) = [item.tensor for item in inputs.tensors() if item.name == name]
    asked = _Asked(tensor)
    recorder = OpRecorder(with_places=False)

    def run() -> Any:
        seed_all(probe.seed)
        with recorder, asked:  # around forward alone: the probe asks for things too
            return layer(*inputs.args, **inputs.kwargs)

    attempt = probe.attempt(run)
    if attempt.raised:
        return "used"
    reached = {_memory(tensor)}
    computed = False
    for call in recorder.calls:
        operator = call.name.split("::")[-1].split(".")[0]
        if operator in _SHAPES_ONLY:
            continue
        if _NOWHERE in map(_memory, call.tensors_in):
            return "used"
        if reached & {_memory(item) for item in call.tensors_in}:
            computed = True
            reached |= {_memory(item) for item in call.tensors_out}
    if reached & {*asked.read, *(_memory(item.tensor) for item in named_tensors(attempt.output))}:
        return "used"
    if computed:
        return "computed"
    return "shape" if asked.times else ""


class _Asked(torch.overrides.TorchFunctionMode):
    """Counts what is asked of one tensor: functions, methods, and attributes such as shape."""

    def __init__(self, tensor: Tensor) -> None:
        super().__init__()
        self.tensor, self.times = tensor, 0
        self.read: set[int] = set()  # memory of what became numbers of Python, of any tensor

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Count, and go on."""
        del types
        self.times += any(item is self.tensor for item in args)
        if args and isinstance(args[0], Tensor) and getattr(func, "__name__", "") in _TO_PYTHON:
            self.read.add(_memory(args[0]))
        return func(*args, **(kwargs or {}))


def _memory(tensor: Tensor) -> int:
    """Return what two tensors share if one is a view of the other."""
    if tensor.layout != torch.strided or tensor.numel() == 0:
        return id(tensor)
    try:
        return tensor.untyped_storage().data_ptr()
    except RuntimeError:  # a tensor that torch.func wrapped
        return _NOWHERE


def _matters(probe: Probe, name: str, training: bool) -> bool:  # noqa: FBT001
    """Tell whether any of several changes of an input changes an answer, or is refused."""
    try:
        before = probe.call(probe.layer(training=training))
        for change in (_reordered, _halved, _flipped):
            inputs = probe.inputs()
            (tensor,) = [item.tensor for item in inputs.tensors() if item.name == name]
            answer = probe.call(
                probe.layer(training=training), inputs.replaced(name, change(tensor))
            )
            if difference(before, answer, exact=True):
                return True
    except LayerRaised:
        return True
    return False


def _reordered(tensor: Tensor) -> Tensor:
    return tensor.flatten().flip(0).view(tensor.shape)


def _halved(tensor: Tensor) -> Tensor:
    return tensor * 0.5 if is_float(tensor) else tensor // 2


def _flipped(tensor: Tensor) -> Tensor:
    if tensor.dtype == torch.bool:
        return ~tensor
    return tensor.amax() + tensor.amin() - tensor if not tensor.is_complex() else -tensor
