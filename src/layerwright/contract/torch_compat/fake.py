"""Running a layer on another device without having one: fake tensors live in a private module.

Parameters, buffers and inputs move to "meta", as `layer.to(device)` moves them to an accelerator;
whatever stays behind on the CPU meets them and raises, as it would there.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedOperatorException,
)
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from layerwright.contract.source import Place, is_users, place_of_error
from layerwright.contract.trees import Inputs, is_float, map_tensors, named_tensors

if TYPE_CHECKING:
    from layerwright.contract.probe import Probe

Kind = Literal["ok", "mismatch", "data-dependent", "no kernel", "other"]

# Operators that take lengths or targets on the CPU while their input lies on another device.
_MIXED_ON_PURPOSE = ("pack_padded", "pad_packed", "ctc_loss", "cudnn")

# Operators whose fake kernels forget to compare devices.
_UNCHECKED = ("convolution", "embedding")

# What the modes of the FakeTensor say in words, in one version of torch or another.
_TWO_DEVICES = ("two devices", "two different devices")

# What operators that compare devices themselves say: each in words of its own, but it names both.
_BOTH_NAMED = [re.compile(rf"\b{word}\b", re.IGNORECASE) for word in ("device", "meta", "cpu")]


@dataclass(frozen=True)
class Elsewhere:
    """What came of a forward pass on another device.

    Attributes:
        kind: "ok"; "mismatch": two tensors on two devices met, or a float output was left on the
            CPU; "data-dependent": Python asked for the values of a tensor; "no kernel": an operator
            cannot run without values; "other": anything else that was raised.
        operator: the operator at which it ended, such as "aten::add.Tensor"; "" when it is "ok".
        place: the line of the user's code that called it.
        words: what was said.
        left: names of attributes and parameters that hold tensors which stayed on the CPU and were
            used.
        on_device: whether the values that Python asked for lie on the device ("data-dependent").
    """

    kind: Kind
    operator: str = ""
    place: Place = field(default_factory=Place)
    words: str = ""
    left: tuple[str, ...] = ()
    on_device: bool = False


def elsewhere(probe: "Probe", *, training: bool = False) -> Elsewhere:
    """Run the probe's layer on another device; the outcome is kept for all rules that ask.

    Raises:
        Skip: no inputs were given.
    """
    kept = _KEPT.setdefault(probe, {})
    if training not in kept:
        known = [layer for layer in (probe.subject.layer, probe.subject.original) if layer]
        kept[training] = run_elsewhere(
            probe.layer(training=training), probe.inputs(), copied_from=known
        )
    return kept[training]


_KEPT: "WeakKeyDictionary[Probe, dict[bool, Elsewhere]]" = WeakKeyDictionary()


def run_elsewhere(
    layer: nn.Module, inputs: Inputs, copied_from: list[nn.Module] | None = None
) -> Elsewhere:
    """Move a layer and its inputs to another device, and call it there, without computing.

    Args:
        layer: is moved, and unusable afterwards.
        inputs: what it is called with.
        copied_from: layers that it is a copy of; functions which still use their parameters say
            nothing about devices.
    """
    watch = _Watch()
    names = dict(_tensors_of(layer))  # before the move: afterwards nothing real is left of them
    copies = {id(item) for other in copied_from or () for _, item in _state_of(other)}
    try:
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True):
            _move(layer)
            moved = inputs.map(lambda tensor: tensor.to("meta"))
            with watch, _Numpy():
                output = layer(*moved.args, **moved.kwargs)
    except Exception as error:  # noqa: BLE001 - a layer may raise anything; it is sorted below
        outcome = _sorted_out(error, watch)
    else:
        outcome = _left_on_cpu(output, watch)
    left = tuple(dict.fromkeys(names[id(item)] for item in watch.real if id(item) in names))
    if outcome.kind == "mismatch" and any(id(item) in copies for item in watch.real):
        return Elsewhere("other", words="a function on the layer uses the layer it was copied from")
    return Elsewhere(
        outcome.kind, outcome.operator, outcome.place, outcome.words, left, outcome.on_device
    )


class _ValuesRead(Exception):  # noqa: N818 - no error: it ends the pass
    """Python turned a tensor into numbers."""

    def __init__(self, name: str, *, on_device: bool) -> None:
        super().__init__(name)
        self.name, self.on_device = name, on_device


class _Numpy(TorchFunctionMode):
    """Notices tensors that become numpy arrays or lists: fake tensors refuse with other words."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        name = getattr(func, "__name__", "")
        if name in {"numpy", "__array__", "tolist"} and isinstance(args[0], FakeTensor):
            raise _ValuesRead(name, on_device=args[0].device.type == "meta")
        return func(*args, **(kwargs or {}))


class _Watch(TorchDispatchMode):
    """Notes the operator that runs, and the real tensors that it is given."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operator = ""
        self.devices: tuple[str, ...] = ()
        self.real: list[Tensor] = []
        self.moved_to_cpu = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Note, and run the operator."""
        del types
        tensors = [item.tensor for item in named_tensors((args, kwargs or {}))]
        self.operator = func.name() if isinstance(func, torch._ops.OpOverload) else str(func)  # noqa: SLF001
        self.devices = tuple(item.device.type for item in tensors)
        if not self.operator.endswith(("::_to_copy", "::copy_", "::clone", "::detach")):
            self.real += [
                item for item in tensors if not isinstance(item, FakeTensor) and item.dim()
            ]
        large = {item.device.type for item in tensors if item.dim()}
        unchecked = any(text in self.operator for text in _UNCHECKED)
        # Indices may lie on the CPU while what they index does not, but not the other way round.
        unchecked |= self.operator.startswith("aten::index.") and self.devices[0] == "cpu"
        if len(large) > 1 and unchecked:
            raise RuntimeError(f"expected one device, found {_TWO_DEVICES[0]}: {sorted(large)}")
        output = func(*args, **(kwargs or {}))
        if "meta" in self.devices:
            self.moved_to_cpu |= any(
                item.tensor.device.type == "cpu" for item in named_tensors(output)
            )
        return output


def _move(layer: nn.Module) -> None:
    """Do what `layer.to(device)` does; what refers to a parameter a second time follows it."""
    before = dict(_state_of(layer, buffers=False))
    layer.to("meta")
    after = dict(_state_of(layer, buffers=False))
    moved = {id(item): after[name] for name, item in before.items() if name in after}

    def follow(value: Any) -> Any:
        if isinstance(value, nn.Parameter):
            return moved.get(id(value), value)
        if type(value) in {list, tuple, dict}:
            return map_tensors(value, follow)
        return value

    for module in layer.modules():
        for name, value in list(vars(module).items()):
            if name not in {"_parameters", "_buffers", "_modules"}:
                changed = follow(value)
                if changed is not value and any(
                    a.tensor is not b.tensor
                    for a, b in zip(named_tensors(value), named_tensors(changed), strict=False)
                ):
                    vars(module)[name] = changed


def _state_of(layer: nn.Module, *, buffers: bool = True) -> Iterator[tuple[str, Tensor]]:
    yield from layer.named_parameters(remove_duplicate=False)
    if buffers:
        yield from layer.named_buffers(remove_duplicate=False)


def _tensors_of(layer: nn.Module) -> Iterator[tuple[int, str]]:
    """Yield the identity and the path of every tensor in attributes of the layer and its parts."""
    for path, module in layer.named_modules():
        start = f"{path}." if path else ""
        for name, value in vars(module).items():
            if name not in {"_parameters", "_buffers", "_modules"}:
                yield from _tensors_in(value, start + name)


def _tensors_in(value: Any, path: str) -> Iterator[tuple[int, str]]:
    if isinstance(value, nn.Module):  # one that is not registered
        yield from ((id(item), f"{path}.{name}") for name, item in _state_of(value))
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            yield from _tensors_in(item, f"{path}[{place}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _tensors_in(item, f"{path}[{key!r}]")
    else:
        yield from ((id(item.tensor), item.name) for item in named_tensors(value, path))


def _left_on_cpu(output: Any, watch: _Watch) -> Elsewhere:
    """Judge a pass that ended: its float outputs lie on the device, unless it moved them itself."""
    for item in named_tensors(output):
        tensor = item.tensor
        if tensor.device.type != "meta" and tensor.dim() and is_float(tensor):
            if watch.moved_to_cpu:
                break
            words = f"{item.name} came out on {tensor.device.type}, the inputs lie on the device"
            return Elsewhere("mismatch", words=words)
    return Elsewhere("ok")


def _sorted_out(error: Exception, watch: _Watch) -> Elsewhere:
    """Tell what an error means."""
    place, words = place_of_error(error), f"{type(error).__name__}: {error}".strip()
    if isinstance(error, _ValuesRead):
        is_fault = error.name != "tolist" and error.on_device
        said = "a tensor on an accelerator cannot become a numpy array" if is_fault else words
        kind: Kind = "mismatch" if is_fault else "data-dependent"
        return Elsewhere(kind, f"Tensor.{error.name}", place, said, on_device=error.on_device)
    if isinstance(error, DataDependentOutputException | DynamicOutputShapeException):
        on_device = "meta" in watch.devices
        return Elsewhere("data-dependent", watch.operator, place, words, on_device=on_device)
    if isinstance(error, UnsupportedOperatorException | NotImplementedError):
        return Elsewhere("no kernel", watch.operator, place, words)
    if not _tells_two_devices(error) or any(text in watch.operator for text in _MIXED_ON_PURPOSE):
        return Elsewhere("other", watch.operator, place, words)
    if any(map(_asks_for_kind, _codes_behind(error))):
        reason = "it chooses by the kind of device, which only a real one answers"
        return Elsewhere("other", watch.operator, place, reason)
    devices = [name for name in dict.fromkeys(watch.devices) if name != "meta"]
    words = f"a tensor on {' and '.join(devices) or 'another device'} met one on the layer's device"
    return Elsewhere("mismatch", watch.operator, place, words)


def _tells_two_devices(error: Exception) -> bool:
    words = str(error)
    return isinstance(error, RuntimeError) and (
        any(text in words for text in _TWO_DEVICES)
        or all(pattern.search(words) for pattern in _BOTH_NAMED)
    )


def _codes_behind(error: Exception) -> Iterator[CodeType]:
    """Yield the user's functions that an error passed through, and the functions they name."""
    trace = error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if is_users(frame.f_code.co_filename):
            yield frame.f_code
            owner: Mapping[str, Any] = {}
            if isinstance(frame.f_locals.get("self"), nn.Module):
                cls = type(frame.f_locals["self"])
                owner = {name: getattr(cls, name, None) for name in frame.f_code.co_names}
            for name in frame.f_code.co_names:
                for value in (owner.get(name), frame.f_globals.get(name)):
                    if isinstance(value, FunctionType) and is_users(value.__code__.co_filename):
                        yield value.__code__
        trace = trace.tb_next


def _asks_for_kind(code: CodeType) -> bool:
    """Tell whether a function may take another branch on a GPU than on any other device."""
    if {"is_cuda", "get_device", "is_cpu"} & set(code.co_names):
        return True
    texts = {item for item in code.co_consts if isinstance(item, str)}
    return "type" in code.co_names and bool(texts & {"cuda", "cpu"})
