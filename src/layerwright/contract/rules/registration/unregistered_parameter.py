"""REG002 unregistered-parameter."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from layerwright.contract.evidence.attributes import Held, held_outside
from layerwright.contract.evidence.left_behind import MeetingWatch
from layerwright.contract.finding import Finding
from layerwright.contract.gradients import projection
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import place_of_attribute
from layerwright.contract.torch_compat.graph import leaves_of


@rule(
    "REG002",
    "unregistered-parameter",
    promise="every tensor that is meant to be trained is listed by parameters()",
    family="registration",
    needs=(),
    explains=(
        "REG003", "SER002", "SER004", "SER005", "SER006", "DEV001", "DEV003", "DTY001",
        "DTY002", "TRN001", "TRN006", "DST001", "DST002", "CMP007", "GRD005", "GRD008",
    ),
    since="0.1",
)  # fmt: skip
def unregistered_parameter(probe: Probe) -> Iterator[Finding]:
    """Looks for tensors outside `parameters()` that a backward pass would train.

    ## Why is this bad
    A parameter in a list or dict, a tensor with `requires_grad=True`, or the result of computing
    with a parameter (`nn.Parameter(x) * 0.1`) is invisible to torch. It gets gradients and no
    optimizer ever applies them, `state_dict()` does not save it, `.to(device)` leaves it behind.

    ## Bad
    ```python
    class Gains(nn.Module):
        def __init__(self):
            super().__init__()
            self.gains = [nn.Parameter(torch.randn(3)) for _ in range(2)]

        def forward(self, x):
            return x * self.gains[0] + x.square() * self.gains[1]


    case = Case(Gains, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Gains(nn.Module):
        def __init__(self):
            super().__init__()
            self.gains = nn.ParameterList(nn.Parameter(torch.randn(3)) for _ in range(2))

        def forward(self, x):
            return x * self.gains[0] + x.square() * self.gains[1]


    case = Case(Gains, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Assign an `nn.Parameter` to an attribute, or keep several in `nn.ParameterList` or
    `nn.ParameterDict`. Scale the data before it becomes a parameter: `nn.Parameter(x * 0.1)`.

    ## Limits
    A hidden parameter that forward does not use is not reported. The parameters of a hidden module
    belong to REG001.

    ## References
    - https://github.com/pytorch/pytorch/issues/59925
    - https://github.com/pytorch/pytorch/issues/632
    """
    source = probe.subject.source  # a copy has lost its graphs, and leads closures back to here
    given = source if isinstance(source, nn.Module) else probe.subject.layer
    layer = probe.layer(training=True)
    names = {held.name for held in (*_trainable(given), *_computed(given))}
    hidden = [held for held in held_outside(layer) if held.name in names]
    if not hidden:
        return
    if probe.subject.inputs is None:
        probe.skip(f"{hidden[0].name} is not registered; without inputs its use cannot be shown")
    used = _used(probe, layer, hidden)
    for held in hidden:
        if id(held.value) not in used:
            continue
        used.discard(id(held.value))
        place = place_of_attribute(held.module, held.attribute)
        shape = tuple(held.value.shape)
        yield Finding(
            where=held.name,
            expected="a trained tensor is listed by parameters() of the layer",
            found=f"a tensor of shape {shape} {used_as(held)}; parameters() does not list it",
            fix=_fix(held),
            file=place.file,
            line=place.line,
        )


def used_as(held: Held) -> str:
    """Say what a hidden tensor is to a backward pass."""
    if isinstance(held.value, nn.Parameter):
        return "is an nn.Parameter and gets a gradient"
    if held.value.requires_grad:
        return "has requires_grad=True and gets a gradient"
    return "was computed once from an nn.Parameter that nobody holds"


def _trainable(layer: nn.Module) -> list[Held]:
    registered = {id(item) for item in layer.parameters()}
    return [
        held
        for held in held_outside(layer)
        if isinstance(held.value, Tensor)
        and held.value.requires_grad
        and held.value.is_leaf
        and id(held.value) not in registered
    ]


def _computed(layer: nn.Module) -> list[Held]:
    """Return tensors that were computed from a parameter that nobody registers."""
    registered = {id(item) for item in layer.parameters()}
    return [
        held
        for held in held_outside(layer)
        if isinstance(held.value, Tensor)
        and not held.value.is_leaf
        and any(
            isinstance(leaf, nn.Parameter) and id(leaf) not in registered
            for leaf in leaves_of(held.value)
        )
    ]


def _used(probe: Probe, layer: nn.Module, hidden: list[Held]) -> set[int]:
    """Return the ids of those that forward computes with."""
    leaves = [held.value for held in hidden if held.value.requires_grad and held.value.is_leaf]
    found: set[int] = set()
    try:
        loss = projection(probe.call(layer), probe.seed)
        if loss is not None and leaves:
            grads = torch.autograd.grad(loss, leaves, allow_unused=True)
            pairs = zip(leaves, grads, strict=True)
            found.update(id(leaf) for leaf, grad in pairs if grad is not None)
        values = [held.value for held in hidden]
        layer, inputs = probe.layer(), probe.inputs()
        twins = {held.name: held.value for held in held_outside(layer)}
        staying = [twins.get(held.name, held.value) for held in hidden]
        moving = [*layer.parameters(), *layer.buffers(), *(t.tensor for t in inputs.tensors())]
        with torch.no_grad(), MeetingWatch(staying, moving) as watch:
            probe.call(layer, inputs)
        found.update(id(values[place]) for place in watch.meetings if not values[place].is_leaf)
        found.update(
            id(values[place]) for place in watch.meetings if not values[place].requires_grad
        )
    except (LayerRaised, RuntimeError):
        return found
    return found


def _fix(held: Held) -> str:
    if held.via == "container" and isinstance(held.value, nn.Parameter):
        kind = "nn.ParameterDict" if "['" in held.path else "nn.ParameterList"
        return f"self.{held.attribute} = {kind}(...) in place of the Python container"
    if held.via in {"attribute", "class"}:
        return f"self.{held.attribute} = nn.Parameter(...) in __init__, as the last step"
    return "assign it to an attribute of self as nn.Parameter, so that torch registers it"
