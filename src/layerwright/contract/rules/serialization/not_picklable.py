"""SER001 not-picklable."""

import io
import pickle
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from layerwright.contract.comparing import difference
from layerwright.contract.evidence.refusals import in_words, refusals
from layerwright.contract.finding import Finding
from layerwright.contract.probe import Probe
from layerwright.contract.rule import rule
from layerwright.contract.source import place_of_attribute

_FIX = (
    "store a function that is defined at the top level of a module, a submodule such as nn.GELU(), "
    "or a method of the class; drop what cannot be stored in __getstate__"
)


@rule(
    "SER001",
    "not-picklable",
    promise="pickle stores the layer, and what it loads gives the same answers",
    family="serialization",
    severity="warning",
    needs=(),
    since="0.1",
)
def not_picklable(probe: Probe) -> Iterator[Finding]:
    """Pickles the layer, loads it again and compares the answers of the two.

    ## Why is this bad
    `torch.save(layer)`, worker processes that are spawned, and most launchers of distributed
    training pickle the layer. One lambda on `self` stops them all.

    ## Bad
    ```python
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.activation = lambda x: x * torch.sigmoid(x)

        def forward(self, x):
            return self.activation(self.linear(x))


    case = Case(Gate, inputs=(torch.randn(4, 3),))
    ```

    ## Good
    ```python
    class Gate(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 3)
            self.activation = nn.SiLU()

        def forward(self, x):
            return self.activation(self.linear(x))


    case = Case(Gate, inputs=(torch.randn(4, 3),))
    ```

    ## How to fix
    Store a function that is defined at the top level of a module, a submodule, or nothing: a
    method can call what the lambda calls. Locks, open files and the like are left out by
    `__getstate__` and made again by `__setstate__`.

    ## Limits
    Whether pickle could import the classes is not judged: those of a notebook or of a test cannot
    be. Forward hooks, scripted parts and parametrizations, which torch stores by `state_dict`
    only, are taken for storable. A finding is an error if the loaded layer answers otherwise.
    """
    layer = probe.layer()
    with torch.no_grad():
        called = probe.subject.inputs is not None and not probe.eval_attempt.raised
        if called:
            probe.call(layer)
        own = _Own(layer)
        try:
            stored = own.dumps(layer)
        except Exception as error:  # noqa: BLE001 - what a user's object raises when it is pickled
            yield from _refused(layer, own, error)
            return
        if not called or probe.deterministic:
            return
        try:
            loaded = own.loads(stored)
        except Exception as error:  # noqa: BLE001 - a user's __setstate__ may raise anything
            place = probe.place()
            yield Finding(
                where="pickle.loads",
                expected="a layer like the one that was stored",
                found=in_words(error),
                fix="let __setstate__ or __reduce__ restore all that __getstate__ returned",
                file=place.file,
                line=place.line,
            )
            return
        again = probe.attempt(lambda: probe.call(layer))
        answer = probe.attempt(lambda: probe.call(loaded))
        if again.raised:
            return
        words = answer.raised.words if answer.raised else difference(again.output, answer.output)
        if words:
            place = probe.place()
            yield Finding(
                where="a layer loaded by pickle",
                expected="the answers of the layer that was stored",
                found=words,
                fix="let __getstate__ keep, or __setstate__ make again, all that forward reads",
                severity="error",
                file=place.file,
                line=place.line,
            )


def _refused(layer: nn.Module, own: "_Own", error: Exception) -> Iterator[Finding]:
    found = list(refusals(layer, own.dumps))
    for refusal in found[:3]:
        place = place_of_attribute(refusal.held.module, refusal.held.attribute)
        yield Finding(
            where=refusal.held.name,
            expected="an attribute that pickle stores",
            found=refusal.words,
            fix=_FIX,
            file=place.file,
            line=place.line,
        )
    if not found:
        place = place_of_attribute(layer, "")
        yield Finding(
            where=type(layer).__qualname__,
            expected="a layer that pickle stores",
            found=in_words(error),
            fix=_FIX,
            file=place.file,
            line=place.line,
        )


class _Own:
    """Pickles in this process only: classes, tensors and importable functions go by reference."""

    def __init__(self, layer: nn.Module) -> None:
        self.references: dict[int, Any] = {}
        self.scopes = {
            type(module).__qualname__.rpartition(".")[0]
            for module in layer.modules()
            if "<locals>" in type(module).__qualname__
        }
        self.hooks = {
            id(hook)
            for module in layer.modules()
            for name, value in vars(module).items()
            if name.endswith("_hooks") and isinstance(value, dict)
            for hook in value.values()
        }

    def dumps(self, value: Any) -> bytes:
        stream = io.BytesIO()
        _Pickler(stream, self).dump(value)
        return stream.getvalue()

    def loads(self, stored: bytes) -> Any:
        return _Unpickler(io.BytesIO(stored), self).load()

    def by_reference(self, value: Any) -> bool:
        if isinstance(value, type | Tensor | torch.jit.ScriptModule | torch.jit.ScriptFunction):
            return True
        if isinstance(value, FunctionType):
            name = value.__qualname__
            # A function beside a class that cannot be imported either, as in a test.
            return "<" not in name or (
                "<lambda>" not in name and name.rpartition(".")[0] in self.scopes
            )
        return id(value) in self.hooks


class _Pickler(pickle.Pickler):
    def __init__(self, stream: io.BytesIO, own: _Own) -> None:
        super().__init__(stream)
        self.own = own

    def persistent_id(self, value: Any) -> int | None:
        if id(value) in self.own.hooks or self.own.by_reference(value):
            self.own.references[id(value)] = value
            return id(value)
        return None

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, nn.Module) and parametrize.is_parametrized(value):
            return _empty, (type(value),), vars(value).copy()
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, own: _Own) -> None:
        super().__init__(stream)
        self.own = own
        self.copies: dict[int, Tensor] = {}

    def persistent_load(self, key: Any) -> Any:
        value = self.own.references[key]
        if not isinstance(value, Tensor):
            return value
        if key not in self.copies:
            copy = value.detach().clone()
            self.copies[key] = (
                nn.Parameter(copy, requires_grad=value.requires_grad)
                if isinstance(value, nn.Parameter)
                else copy
            )
        return self.copies[key]


def _empty(cls: Any) -> Any:
    return cls.__new__(cls)
