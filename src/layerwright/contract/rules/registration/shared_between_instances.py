"""REG004 shared-between-instances."""

import dis
import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import Tensor, nn

from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import is_torchs, place_of_class
from layerwright.contract.trees import named_tensors


class _Origin(NamedTuple):
    """What outlives an instance: a default argument, a class attribute, a global variable."""

    words: str
    value: Any
    is_default: bool


@rule(
    "REG004",
    "shared-between-instances",
    promise="two instances of a layer share neither parameters nor buffers",
    family="registration",
    needs=(),
    explains=("INI004", "SER003", "DEV003"),
    since="0.1",
)
def shared_between_instances(probe: Probe) -> Iterator[Finding]:
    """Looks for parameters and buffers that come from a default argument, the class or a global.

    ## Why is this bad
    A default argument is evaluated once, when the class is defined. A module or tensor that stands
    there belongs to every instance: training one layer changes all others, and loading a
    checkpoint into one overwrites the rest.

    ## Bad
    ```python
    class Block(nn.Module):
        def __init__(self, act=nn.PReLU()):
            super().__init__()
            self.proj = nn.Linear(3, 3)
            self.act = act

        def forward(self, x):
            return self.act(self.proj(x))


    case = Case(Block, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Block(nn.Module):
        def __init__(self, act=nn.PReLU):
            super().__init__()
            self.proj = nn.Linear(3, 3)
            self.act = act()

        def forward(self, x):
            return self.act(self.proj(x))


    case = Case(Block, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Take a class or function as the default and build in `__init__`, or default to None. Clone a
    default tensor before it becomes a parameter: `nn.Parameter(init.clone())`.

    ## Limits
    Modules without parameters and buffers, such as `nn.ReLU()`, may be shared. What several
    instances get from their caller is not looked at. A shared buffer, and what comes from a class
    attribute or a global variable, may be meant, and is a warning.

    ## References
    - https://github.com/pyg-team/pytorch_geometric/pull/4978: a frozen network kept changing
    - https://github.com/swz30/MPRNet/issues/76
    """
    source = probe.subject.source
    layer = source if isinstance(source, nn.Module) else probe.subject.layer
    trained = {_memory(item): name for name, item in layer.named_parameters()}
    buffers = {_memory(item): name for name, item in layer.named_buffers()}
    reported: set[int | None] = {None}
    for cls in dict.fromkeys(type(module) for module in layer.modules()):
        if is_torchs(cls):
            continue
        for origin in _origins(cls):
            for tensor in _tensors(origin.value):
                memory = _memory(tensor)
                name = trained.get(memory) or buffers.get(memory)
                if name is None or memory in reported:
                    continue
                reported.add(memory)
                place = place_of_class(cls)
                kind = "parameter" if memory in trained else "buffer"
                yield Finding(
                    where=name,
                    expected="memory of its own in each instance",
                    found=f"the {kind} of shape {tuple(tensor.shape)} lies in {origin.words}, "
                    f"which all instances of {cls.__name__} share",
                    fix="build it in __init__; a default argument may be a class, a function or "
                    "None, or is cloned",
                    severity=None if origin.is_default and memory in trained else "warning",
                    file=place.file,
                    line=place.line,
                )


def _memory(tensor: Tensor) -> int | None:
    """Return where a tensor's memory begins; None if it has none."""
    try:
        return tensor.untyped_storage().data_ptr() or None
    except (NotImplementedError, RuntimeError, ValueError):  # sparse, or not materialised
        return None


def _origins(cls: type) -> Iterator[_Origin]:
    for base in cls.__mro__:
        if base is object or is_torchs(base):
            continue
        for name, value in vars(base).items():
            if not name.startswith("__") and not inspect.isroutine(value):
                yield _Origin(f"the class attribute {base.__name__}.{name}", value, False)
        init = vars(base).get("__init__")
        if not inspect.isfunction(init):
            continue
        for item in inspect.signature(init).parameters.values():
            if item.default is not item.empty:
                words = f"the default of the argument {item.name} of {base.__name__}"
                yield _Origin(words, item.default, True)
        for step in dis.get_instructions(init):
            name = step.argval
            if step.opname == "LOAD_GLOBAL" and name in init.__globals__:
                yield _Origin(f"the global variable {name}", init.__globals__[name], False)


def _tensors(value: Any) -> Iterator[Tensor]:
    """Yield the tensors of a module, or of a tree of modules and tensors."""
    if isinstance(value, nn.Module):
        yield from value.parameters()
        yield from value.buffers()
    elif isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item) if isinstance(item, nn.Module) else _plain(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item) if isinstance(item, nn.Module) else _plain(item)


def _plain(value: Any) -> Iterator[Tensor]:
    yield from (item.tensor for item in named_tensors(value))
