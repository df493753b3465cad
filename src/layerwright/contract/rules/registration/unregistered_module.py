"""REG001 unregistered-module."""

from collections.abc import Iterator

import torch
from torch import nn

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.attributes import Held, held_outside
from layerwright.contract.finding import Finding, Severity
from layerwright.contract.gradients import projection
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, rule
from layerwright.contract.source import place_of_attribute


@rule(
    "REG001",
    "unregistered-module",
    promise="every part that is trained, or that has a training mode, is a registered submodule",
    family="registration",
    needs=(),
    explains=(
        "REG002", "REG003", "SER001", "SER002", "SER004", "SER006", "PUR004", "PUR005",
        "MOD001", "MOD002", "MOD003", "DEV001", "DEV003", "DTY001", "DTY002", "DTY005", "TRN001",
        "DST001", "CMP003", "CMP007", "GRD008",
    ),
    since="0.1",
)  # fmt: skip
def unregistered_module(probe: Probe) -> Iterator[Finding]:
    """Looks for modules in lists, dicts, objects and closures, and at what forward does with them.

    A hidden module is reported when a backward pass sends gradients to its parameters, which
    `parameters()` does not list, or when the output depends on its training flag, which `eval()`
    does not reach.

    ## Why is this bad
    torch only sees modules that are attributes, or lie in its own containers. The optimizer never
    gets the parameters of the others, `state_dict()` loses them, and `.to(device)`, `train()` and
    `eval()` pass them by. Nothing raises; the layer trains in part.

    ## Bad
    ```python
    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = [nn.Linear(3, 3) for _ in range(2)]

        def forward(self, x):
            for block in self.blocks:
                x = block(x).tanh()
            return x


    case = Case(Stack, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Stack(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(nn.Linear(3, 3) for _ in range(2))

        def forward(self, x):
            for block in self.blocks:
                x = block(x).tanh()
            return x


    case = Case(Stack, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Keep the modules in `nn.ModuleList` or `nn.ModuleDict`, or assign them as attributes.

    ## Limits
    A hidden module without trained parameters and without a training mode, such as an activation
    or a frozen teacher, is not reported. One that is hidden by hand (through `__dict__`, a closure
    or `functools.partial`) may be registered by somebody else, and is a warning.

    ## References
    - https://github.com/pytorch/pytorch/issues/135640
    - https://github.com/pytorch/pytorch/issues/59925
    - https://github.com/pytorch/pytorch/issues/72580
    """
    source = probe.subject.source
    given = source if isinstance(source, nn.Module) else probe.subject.layer
    # a closure over self leads a copy to the layer that was given, where nothing is hidden
    names = {held.name for held in hidden_modules(given)}
    layer = probe.layer(training=True)
    hidden = [held for held in hidden_modules(layer) if held.name in names]
    if not hidden:
        return
    if probe.subject.inputs is None:
        probe.skip(f"{hidden[0].name} is not registered; without inputs its use cannot be shown")
    trained = _lost_gradients(probe, layer, hidden)
    reported: set[int] = set()
    for held in hidden:
        lost = [name for name, item in held.value.named_parameters() if id(item) in trained]
        flag = "" if lost else _flag_matters(probe, held)
        if id(held.value) in reported or not (lost or flag):
            continue
        reported.add(id(held.value))
        kind = type(held.value).__name__
        found = flag or (
            f"{kind} gets gradients for {len(lost)} parameters ({', '.join(lost[:3])}) that "
            f"parameters() does not list"
        )
        place = place_of_attribute(held.module, held.attribute)
        severity: Severity | None = "warning" if held.via in _BY_HAND else None
        yield Finding(
            where=held.name,
            expected="a registered submodule, which parameters(), to() and eval() reach",
            found=found,
            fix=_fix(held),
            severity=severity,
            file=place.file,
            line=place.line,
        )


_BY_HAND = ("attribute", "partial", "closure")


def hidden_modules(layer: nn.Module) -> list[Held]:
    """Return the modules that a layer holds and does not register."""
    registered = {id(module) for module in layer.modules()}
    return [
        held
        for held in held_outside(layer)
        if isinstance(held.value, nn.Module)
        and "_parameters" in vars(held.value)
        and id(held.value) not in registered
    ]


def _lost_gradients(probe: Probe, layer: nn.Module, hidden: list[Held]) -> set[int]:
    """Return the ids of hidden trained parameters that a backward pass reaches."""
    known = {id(item) for item in layer.parameters()}
    own = {
        id(item): item
        for held in hidden
        for item in held.value.parameters()
        if item.requires_grad and id(item) not in known
    }
    if not own:
        return set()
    states = [(held.value, held.value.state_dict()) for held in hidden]
    kept = [(module, {k: v.clone() for k, v in state.items()}) for module, state in states]
    try:
        loss = projection(probe.call(layer), probe.seed)
        if loss is None:
            return set()
        grads = torch.autograd.grad(loss, list(own.values()), allow_unused=True)
    except (LayerRaised, RuntimeError):
        return set()
    finally:
        for module, state in kept:  # closures and classes are shared with the user's own layer
            module.load_state_dict(state)
    return {key for key, grad in zip(own, grads, strict=True) if grad is not None}


def _flag_matters(probe: Probe, held: Held) -> str:
    """Return in words how the training flag of a hidden module changes the layer in eval mode."""
    outputs = []
    for training in (True, False):
        layer = probe.layer()
        twin = next((item for item in hidden_modules(layer) if item.name == held.name), None)
        if twin is None:
            return ""
        flags = [(module, module.training) for module in twin.value.modules()]
        states = {name: item.clone() for name, item in twin.value.state_dict().items()}
        if not any(flag for _, flag in flags):
            return ""  # somebody has put it in eval mode
        twin.value.train(training)
        try:
            with torch.no_grad():
                outputs.append(probe.call(layer))
        except LayerRaised:
            return ""
        finally:
            twin.value.load_state_dict(states)
            for module, flag in flags:
                module.training = flag
    words = difference(outputs[1], outputs[0])
    kind = type(held.value).__name__
    return f"{kind} stays in training mode after eval(): {words}" if words else ""


def _fix(held: Held) -> str:
    if held.via == "container":
        kind = "nn.ModuleDict" if "['" in held.path else "nn.ModuleList"
        return f"self.{held.attribute} = {kind}(...) in place of the Python container"
    if held.via == "class":
        return f"build it in __init__: self.{held.attribute} = {type(held.value).__name__}(...)"
    return "assign the module to an attribute of self, so that torch registers it"
