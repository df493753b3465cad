"""SER003 copy-shares-state."""

import contextlib
import copy
import weakref
from collections.abc import Iterator
from types import CellType, FunctionType
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.attributes import held_outside
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute, place_of_class
from layerwright.contract.trees import is_float


@rule(
    "SER003",
    "copy-shares-state",
    promise="a copy.deepcopy of the layer uses parameters and buffers of its own",
    family="serialization",
    needs=("forward", "deterministic"),
    explains=(
        "SER001", "SER004", "SER006", "REG001", "REG002", "REG003", "GRD008", "TRN001", "TRN002",
        "TRN005", "DEV001", "DEV003", "DTY001", "DTY002", "CMP007", "INI005", "DST001", "DST002",
    ),
    since="0.1",
)  # fmt: skip
def copy_shares_state(probe: Probe) -> Iterator[Finding]:
    """Copies a layer, changes parameters and buffers of the first, and calls the copy.

    ## Why is this bad
    The copy's own parameters do nothing: its answers follow the original. Averaged weights never
    average, `nn.TransformerEncoder(layer, 6)` trains one layer, and a copy on another device fails.

    ## Bad
    ```python
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(3) + 0.5)
            self.apply_weight = lambda x: x * self.weight

        def forward(self, x):
            return self.apply_weight(x)


    case = Case(Scale, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.rand(3) + 0.5)

        def apply_weight(self, x):
            return x * self.weight

        def forward(self, x):
            return self.apply_weight(x)


    case = Case(Scale, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    A function is never copied: what it closes over stays the original's. Use a method, which is
    bound to the copy, or pass the module to the function when it is called.

    ## Limits
    What a layer shares on purpose, such as a frozen teacher in a closure, is not its own state.
    """
    original = probe.subject.original
    source = probe.subject.layer if original is None else original
    try:
        first = _closed_copy(source)
        first.eval()
        if any(map(is_lazy, [*first.parameters(), *first.buffers()])):
            with torch.no_grad():
                probe.call(first)
        second = copy.deepcopy(first)
    except Exception as error:  # noqa: BLE001 - SER002 judges layers that cannot be copied
        probe.skip(f"copy.deepcopy raised {type(error).__name__}")
    with torch.no_grad():
        before = probe.attempt(lambda: probe.call(second))
        if before.raised or difference(probe.eval_output, before.output):
            probe.skip("a copy that was made with copy.deepcopy answers otherwise already")
        second = copy.deepcopy(first)
        for tensor in {id(item): item for item in [*first.parameters(), *first.buffers()]}.values():
            if is_float(tensor):
                with contextlib.suppress(RuntimeError):  # a sparse or expanded tensor stays
                    tensor.detach().mul_(1.5).add_(0.25)
        after = probe.attempt(lambda: probe.call(second))
    words = after.raised.words if after.raised else difference(before.output, after.output)
    if not words:
        return
    where, place = _culprit(source)
    yield Finding(
        where=where,
        expected="answers of a copy that do not change when the original's parameters change",
        found=f"after the original's parameters were changed, the copy's answer: {words}",
        fix="write a method in place of the function that closes over self, or of __deepcopy__",
        file=place.file,
        line=place.line,
    )


def _culprit(layer: nn.Module) -> tuple[str, Any]:
    own = {id(item) for item in (*layer.modules(), *layer.parameters(), *layer.buffers())}
    for held in held_outside(layer):
        reached = held.value() if isinstance(held.value, weakref.ref) else held.value
        if id(reached) in own and (held.via == "closure" or held.value is not reached):
            return _name(held), place_of_attribute(held.module, held.attribute)
    return "copy.deepcopy", place_of_class(type(layer))


def _name(held: Any) -> str:
    return f"{held.module_path}.{held.attribute}" if held.module_path else held.attribute


def _closed_copy(layer: nn.Module) -> nn.Module:
    """Return a deep copy whose functions close over the copy, as the original's do over it."""
    modules = list(layer.modules())
    own = {id(item) for item in (*modules, *layer.parameters(), *layer.buffers())}
    memo: dict[int, Any] = {}
    renewed: list[tuple[FunctionType, FunctionType]] = []
    values = [held.value for held in held_outside(layer)]
    values += [hook for module in modules for hook in _hooks(module)]
    while values:
        function = values.pop()
        if not isinstance(function, FunctionType) or id(function) in memo:
            continue
        carried = [*_contents(function), *(function.__defaults__ or ())]
        values.extend(item for item in carried if isinstance(item, FunctionType))
        if any(id(item) in own or isinstance(item, FunctionType) for item in carried):
            cells = tuple(CellType() for _ in function.__closure__ or ())
            new = FunctionType(function.__code__, function.__globals__, closure=cells)
            memo[id(function)] = new
            renewed.append((function, new))
    first = copy.deepcopy(layer, memo)
    for old, new in renewed:
        new.__defaults__ = _mapped(old.__defaults__, own, memo)
        new.__kwdefaults__ = old.__kwdefaults__
        for before, after in zip(old.__closure__ or (), new.__closure__ or (), strict=True):
            try:
                after.cell_contents = _mapped(before.cell_contents, own, memo)
            except ValueError:  # the cell is not filled yet
                continue
    for module in modules:
        for name, value in vars(module).items():
            if isinstance(value, weakref.ref) and id(value()) in memo and id(module) in memo:
                vars(memo[id(module)])[name] = weakref.ref(memo[id(value())])
    return first


def _hooks(module: nn.Module) -> list[Any]:
    return [
        hook
        for name, value in vars(module).items()
        if name.endswith("_hooks") and isinstance(value, dict)
        for hook in value.values()
    ]


def _contents(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue


def _mapped(value: Any, own: set[int], memo: dict[int, Any]) -> Any:
    """Return what the copy has in place of a part of the original, or the value itself."""
    if isinstance(value, tuple):
        return tuple(_mapped(item, own, memo) for item in value)
    if id(value) in own or isinstance(value, FunctionType):
        return memo.get(id(value), value)
    return value
