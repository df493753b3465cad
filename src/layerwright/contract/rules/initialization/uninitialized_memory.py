"""INI001 uninitialized-memory."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from layerwright.contract.finding import Finding
from layerwright.contract.isolation import global_state, restore_state
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, Skip, rule
from layerwright.contract.source import place_of_attribute
from layerwright.contract.trees import is_float, named_tensors


@rule(
    "INI001",
    "uninitialized-memory",
    promise="every value that a layer starts from, or returns, has been written",
    family="initialization",
    needs=("forward",),
    explains=(
        "INI002", "INI003", "INI004", "INI005", "INI006", "PUR004", "PUR005", "PUR011", "SER004",
        "NUM001", "NUM002", "NUM003", "NUM004", "NUM005", "DTY002", "DTY003", "DTY004", "DTY005",
        "MOD002", "GRD001", "GRD002", "CMP002", "BAT001",
    ),
    since="0.1",
)  # fmt: skip
def uninitialized_memory(probe: Probe) -> Iterator[Finding]:
    """Builds and calls the layer while torch fills new memory with NaN, and looks for NaN.

    ## Why is this bad
    `torch.empty` returns what was in memory before. Most of the time that is zeros, so that tests
    pass; some day it is NaN or 1e30, and the run explodes in a way that nobody can repeat.

    ## Bad
    ```python
    class Scale(nn.Module):
        def __init__(self, num_features=3):
            super().__init__()
            self.gain = nn.Parameter(torch.empty(num_features))

        def forward(self, x):
            return x * self.gain


    case = Case(Scale, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Scale(nn.Module):
        def __init__(self, num_features=3):
            super().__init__()
            self.gain = nn.Parameter(torch.empty(num_features))
            nn.init.ones_(self.gain)

        def forward(self, x):
            return x * self.gain


    case = Case(Scale, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Call `reset_parameters()` in the constructor and write every value there; take `torch.zeros`
    for what is filled in part.

    ## Limits
    Only floating-point values are watched. Buffers and frozen parameters count only if the output
    shows that they were not written before use.
    """
    if probe.subject.build is not None:
        trained = list(_empty_parameters(probe))
        yield from trained
        if trained:
            return
    yield from _outputs(probe)


def _empty_parameters(probe: Probe) -> Iterator[Finding]:
    try:
        with _filled():
            layer = probe.rebuild()
        plain = probe.rebuild()
    except Skip:
        return
    before = dict(plain.named_parameters())
    for path, module in layer.named_modules():
        for attribute, item in module.named_parameters(recurse=False):
            name = f"{path}.{attribute}" if path else attribute
            if is_lazy(item) or not (is_float(item) and item.requires_grad) or name not in before:
                continue
            count = int((item.isnan() & ~_only_nan(before[name], item)).sum())
            if not count:
                continue
            place = place_of_attribute(module, attribute)
            yield Finding(
                where=name,
                expected="values that the constructor has written",
                found=f"{count} of {item.numel()} values are still as torch.empty left them",
                fix="write it in the constructor, such as "
                f"nn.init.{'xavier_uniform_' if item.dim() > 1 else 'zeros_'}(self.{attribute})",
                file=place.file,
                line=place.line,
            )


def _only_nan(plain: Tensor, filled: Tensor) -> Tensor:
    """Return where NaN is meant: all of a parameter is NaN without any filling."""
    meant = plain.shape == filled.shape and plain.numel() > 0 and bool(plain.isnan().all())
    return torch.full_like(filled, float(meant), dtype=torch.bool)


def _outputs(probe: Probe) -> Iterator[Finding]:
    """Look for NaN that filling brings into the output, by constructor or by forward."""
    layers: list[tuple[str, nn.Module]] = [("forward", probe.layer())]
    if probe.subject.build is not None:
        try:
            with _filled():
                layers.append(("the constructor", probe.rebuild()))
        except Skip:
            pass
    for where, layer in layers:
        try:
            with torch.no_grad(), _filled():
                output = probe.call(layer)
            plain = probe.eval_output
        except LayerRaised:
            continue
        for before, after in zip(named_tensors(plain), named_tensors(output), strict=False):
            if not is_float(after.tensor) or after.tensor.shape != before.tensor.shape:
                continue
            new = after.tensor.isnan() & ~before.tensor.isnan()
            if bool(new.any()):
                place = probe.place()
                yield Finding(
                    where=where,
                    expected="an output that depends on written values alone",
                    found=f"{int(new.sum())} of {new.numel()} values of {after.name} are NaN when "
                    "torch fills new memory with NaN",
                    fix="write all of what torch.empty returns, or begin with torch.zeros",
                    file=place.file,
                    line=place.line,
                )
                return


@contextmanager
def _filled() -> Iterator[None]:
    """Let torch fill new memory with NaN."""
    before = global_state()
    filling = {"deterministic algorithms": (True, True), "filling of uninitialised memory": True}
    restore_state({**before, **filling})
    try:
        yield
    finally:
        restore_state(before)
