"""REG011 factory-arguments-ignored."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from layerwright.contract.comparing import difference
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import LayerRaised, Skip, rule
from layerwright.contract.source import is_torchs, place_of_attribute
from layerwright.contract.trees import dtype_name, named_tensors


@rule(
    "REG011",
    "factory-arguments-ignored",
    promise="a constructor that takes device or dtype makes its tensors so",
    family="registration",
    needs=("constructor",),
    since="0.1",
)
def factory_arguments_ignored(probe: Probe) -> Iterator[Finding]:
    """Builds the layer with `dtype=torch.float64` and with `device="meta"`, where it takes them.

    ## Why is this bad
    The caller believes that the layer was made where and how it was asked for. Half of it was: the
    first call meets tensors of two devices or dtypes, or memory runs out on the wrong device.

    ## Bad
    ```python
    class Scale(nn.Module):
        def __init__(self, num_features=3, device=None, dtype=None):
            super().__init__()
            self.proj = nn.Linear(num_features, num_features, device=device, dtype=dtype)
            self.gain = nn.Parameter(torch.ones(num_features))

        def forward(self, x):
            return self.proj(x * self.gain)


    case = Case(Scale, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Scale(nn.Module):
        def __init__(self, num_features=3, device=None, dtype=None):
            super().__init__()
            self.proj = nn.Linear(num_features, num_features, device=device, dtype=dtype)
            self.gain = nn.Parameter(torch.ones(num_features, device=device, dtype=dtype))

        def forward(self, x):
            return self.proj(x * self.gain)


    case = Case(Scale, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Pass `device` and `dtype` on to every tensor and submodule that the constructor makes:
    `factory = {"device": device, "dtype": dtype}`.

    ## Limits
    Judged are layers whose constructor takes `device` or `dtype`. Parameters that keep a dtype of
    their own beside others that follow are reported only if forward raises for inputs of the dtype
    asked for. A dtype that changes the output may be meant for computing, and is not judged.
    Buffers may keep their dtype.

    ## References
    - https://github.com/pytorch/pytorch/issues/104187
    """
    accepted = _accepted(type(probe.subject.layer))
    if not accepted:
        probe.skip("its constructor takes neither device nor dtype")
    if "device" in accepted:
        yield from _device(probe)
    if "dtype" in accepted:
        yield from _dtype(probe)


def _accepted(cls: type) -> set[str]:
    try:
        parameters = inspect.signature(getattr(cls, "__init__")).parameters  # noqa: B009 - mypy
    except (TypeError, ValueError):  # written in C
        return set()
    return {
        name
        for name in ("device", "dtype")
        if name in parameters and parameters[name].default is None
    }


def _device(probe: Probe) -> Iterator[Finding]:
    try:
        with _asking(type(probe.subject.layer), device="meta") as given:
            layer = probe.rebuild()
    except Skip:  # DEV003 tells whether it can be built there
        return
    tensors = _tensors(layer)
    left = [name for name, item in tensors.items() if not item.is_meta and not _in(item, given)]
    if not left or not tensors:
        return
    yield _finding(
        layer,
        left,
        expected='all parameters and buffers on the device asked for, "meta"',
        found=f'with device="meta" {len(left)} of {len(tensors)} tensors are on the CPU: '
        f"{', '.join(left[:4])}",
        argument="device",
    )


def _dtype(probe: Probe) -> Iterator[Finding]:
    try:
        with _asking(type(probe.subject.layer), dtype=torch.float64) as given:
            layer = probe.rebuild()
        plain = probe.rebuild()
    except Skip:
        return
    floats = {name: item for name, item in layer.named_parameters() if item.is_floating_point()}
    left = [
        name
        for name, item in floats.items()
        if item.dtype != torch.float64 and not _in(item, given)
    ]
    if not left or dict(plain.named_parameters())[left[0]].dtype == torch.float64:
        return
    if len(left) < len(floats):
        words = _raises_in_float64(probe, layer)
        if words is None:
            return
        words = f"; forward with float64 inputs raised {words}"
    elif probe.subject.inputs is not None and _changes_output(probe, layer, plain):
        return  # it means the dtype to compute in
    else:
        words = ""
    kinds = ", ".join(f"{name} {dtype_name(floats[name].dtype)}" for name in left[:4])
    yield _finding(
        layer,
        left,
        expected="all floating-point parameters of the dtype asked for, float64",
        found=f"with dtype=torch.float64 {len(left)} of {len(floats)} parameters are not: {kinds}"
        + words,
        argument="dtype",
    )


def _finding(
    layer: nn.Module, left: list[str], *, expected: str, found: str, argument: str
) -> Finding:
    path, _, attribute = left[0].rpartition(".")
    owner = layer.get_submodule(path)
    if is_torchs(type(owner)) and path:
        path, _, attribute = path.rpartition(".")
        owner = layer.get_submodule(path)
    place = place_of_attribute(owner, attribute)
    return Finding(
        where=left[0],
        expected=expected,
        found=found,
        fix=f"pass {argument}={argument} where {left[0]} is made",
        file=place.file,
        line=place.line,
    )


@contextmanager
def _asking(cls: type, **wanted: Any) -> Iterator[list[Tensor]]:
    """Give these arguments to the outermost constructor of a class; note the tensors it gets."""
    given: list[Tensor] = []
    build: Any = getattr(cls, "__init__")  # noqa: B009 - mypy
    inside = False

    @wraps(build)
    def asked(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        nonlocal inside
        if not inside and type(self) is cls:
            bound = inspect.signature(build).bind_partial(self, *args, **kwargs)
            bound.arguments.update(wanted)
            for value in (*args, *kwargs.values()):
                parts = value.state_dict(keep_vars=True) if isinstance(value, nn.Module) else value
                given.extend(item.tensor for item in named_tensors(parts))
            inside = True
            try:
                build(*bound.args, **bound.kwargs)
            finally:
                inside = False
        else:
            build(self, *args, **kwargs)

    with patch.object(cls, "__init__", asked):
        yield given


def _in(tensor: Tensor, given: list[Tensor]) -> bool:
    """Tell whether the caller gave this tensor: it lives where the caller put it."""
    return any(tensor is item or tensor.data_ptr() == item.data_ptr() != 0 for item in given)


def _tensors(layer: nn.Module) -> dict[str, Tensor]:
    return {**dict(layer.named_parameters()), **dict(layer.named_buffers())}


def _raises_in_float64(probe: Probe, layer: nn.Module) -> str | None:
    if probe.subject.inputs is None:
        return None
    try:
        with torch.no_grad():
            probe.call(layer, probe.inputs().to(torch.float64))
            return None
    except LayerRaised as raised:
        words = raised.words
    try:
        with torch.no_grad():  # cast as a whole it must work, or float64 is not what it is for
            probe.call(layer.to(torch.float64), probe.inputs().to(torch.float64))
    except LayerRaised:
        return None
    return words


def _changes_output(probe: Probe, layer: nn.Module, plain: nn.Module) -> bool:
    layer.load_state_dict(plain.state_dict())
    try:
        with torch.no_grad():
            return difference(probe.call(plain), probe.call(layer), exact=True) is not None
    except LayerRaised:
        return True
