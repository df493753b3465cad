"""A snippet that shows a finding again, on its own, in a fresh interpreter."""

import ast
import inspect
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from layerwright.contract.copying import fresh_copy
from layerwright.contract.rule import Rule
from layerwright.contract.subject import Subject
from layerwright.contract.trees import Inputs, dtype_name, map_tensors, named_tensors

_FEW = 64  # values that are written out; more are drawn again


class _CannotWrite(Exception):  # noqa: N818 - it never leaves this file
    """No code can be written for this value."""


def snippet_for(subject: Subject, rule: Rule, seed: int, ranks: int = 0) -> str:
    """Return Python code that checks the layer with this rule only; "" if none can be written.

    Inputs and state of few values are written out; others are drawn again under the seed, so that
    the numbers of the finding may differ. Layers whose class or arguments cannot be named, such as
    classes inside of functions, have no snippet.
    """
    try:
        imports, layer = _layer(subject)
        inputs = None if subject.inputs is None else _inputs(subject.inputs)
        traits = subject.traits.given()
        loss = "" if subject.loss is None else f", loss={_loss(subject.loss)}"
        target = "" if subject.target is None else f", target={_value(subject.target)}"
    except _CannotWrite:
        return ""
    lines = ["import torch", "", "import layerwright as lw", *imports, ""]
    lines += [f"torch.manual_seed({seed})", f"layer = {layer}", *_state(subject)]
    kwargs = ""
    if inputs is not None:
        args, named = inputs
        lines.append(f"inputs = {args}")
        kwargs = f", kwargs={named}" if named else ""
    case = f"lw.Case(layer, {'inputs' if inputs is not None else '()'}{kwargs}"
    lines.append(f"case = {case}{f', traits={traits!r}' if traits else ''}{loss}{target})")
    options = f'tier="full", select=["{rule.id}"], seed={seed}'
    if "ranks" in rule.needs:
        options += f", ranks={ranks}"
    lines.append(f"print(lw.check(case, {options}))")
    return "\n".join(lines)


def _layer(subject: Subject) -> tuple[list[str], str]:
    """Return imports, and the expression that builds the layer."""
    source: Any = subject.source
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = {}
    if isinstance(source, partial):
        args, kwargs, source = source.args, source.keywords, source.func
    if isinstance(source, nn.Module):
        given = getattr(subject.build, "arguments", lambda: None)()
        if given is None:
            raise _CannotWrite
        source, (args, kwargs) = type(source), given
        kwargs = _without_defaults(source, kwargs)
    imports, name = _named(source)
    words = [_value(item) for item in args]
    words += [f"{key}={_value(item)}" for key, item in kwargs.items()]
    mode = "" if subject.layer.training else ".eval()"
    return imports, f"{name}({', '.join(words)}){mode}"


def _without_defaults(cls: type, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the arguments that have their default anyway."""
    known = inspect.signature(cls).parameters
    return {
        name: value
        for name, value in kwargs.items()
        if name not in known or not _is_default(value, known[name].default)
    }


def _is_default(value: Any, default: Any) -> bool:
    """Tell whether an argument need not be written; a module's values come with the state."""
    if value is default:
        return True
    return isinstance(value, nn.Module) and repr(value) == repr(default)


def _named(source: Any) -> tuple[list[str], str]:
    """Return how a fresh interpreter gets hold of a class or function."""
    name = getattr(source, "__qualname__", "<")
    module = getattr(source, "__module__", "")
    if "<" in name:  # a lambda, or inside of a function
        raise _CannotWrite
    try:
        file = Path(inspect.getfile(source)).resolve()
    except (TypeError, OSError):
        file = None
    outer = name.split(".")[0]
    if module in sys.modules and (file is None or _importable(module, file)):
        return [f"from {module} import {outer}"], name
    if file is None or not file.is_file():
        raise _CannotWrite
    place = _below_here(file)
    return (
        ["from layerwright.contract.loading.scripts import load_script"],
        f"load_script({str(place)!r}).module.{name}",
    )


def _importable(module: str, file: Path) -> bool:
    """Tell whether `import module` finds this file from any folder of the path but the current."""
    if module == "__main__":
        return False
    parts = Path(*module.split("."))
    for folder in filter(None, sys.path):
        root = Path(folder).resolve()
        if file in {root / parts.with_suffix(".py"), root / parts / "__init__.py"}:
            return "packages" in root.name or (root / parts.parts[0] / "__init__.py").is_file()
    return module.split(".", maxsplit=1)[0] in {"torch", "layerwright"}


def _below_here(file: Path) -> Path:
    here = Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file


def _state(subject: Subject) -> list[str]:
    """Return lines that put the layer's own values back, if they are few."""
    try:
        state = subject.layer.state_dict()
        if not state or sum(item.numel() for item in state.values()) > _FEW:
            return []
        fresh_copy(subject.layer).load_state_dict(state)  # its own methods may not fit each other
        inner = ", ".join(f"{key!r}: {_tensor(item)}" for key, item in state.items())
    except (_CannotWrite, AttributeError, RuntimeError, TypeError, ValueError):
        return []  # extra state, sparse or lazy parameters: drawn again
    return [f"layer.load_state_dict({{{inner}}})"]


def _inputs(inputs: Inputs) -> tuple[str, str]:
    args = ", ".join(_value(item) for item in inputs.args)
    named = ", ".join(f"{key!r}: {_value(item)}" for key, item in inputs.kwargs.items())
    return f"({args}{',' if inputs.args else ''})", f"{{{named}}}" if named else ""


def _loss(loss: Any) -> str:
    if isinstance(loss, nn.Module) and type(loss).__module__.startswith("torch.nn"):
        return f"torch.nn.{type(loss).__name__}()"
    imports, name = _named(loss)
    if imports and imports[0].startswith("from torch.nn.functional"):
        return f"torch.nn.functional.{name}"
    raise _CannotWrite


def _value(value: Any) -> str:
    """Write a value as code."""
    if isinstance(value, Tensor):
        return _tensor(value)
    if next(named_tensors(value), None) is None:
        try:
            ast.literal_eval(repr(value))
        except (SyntaxError, ValueError):
            raise _CannotWrite from None
        return repr(value)
    if type(value) in {list, tuple, dict}:
        written = map_tensors(value, lambda tensor: _Code(_tensor(tensor)))
        return repr(written)
    raise _CannotWrite


class _Code:
    """Text whose repr is itself."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def _shortest(values: Any, dtype: torch.dtype) -> Any:
    """Return the numbers with no more digits than float32 needs."""
    if isinstance(values, list):
        return [_shortest(item, dtype) for item in values]
    if isinstance(values, float) and dtype is torch.float32:
        return float(str(np.float32(values)))
    return values


def _tensor(tensor: Tensor) -> str:
    if tensor.layout is not torch.strided or tensor.is_quantized:
        raise _CannotWrite
    dtype = f"torch.{dtype_name(tensor.dtype)}"
    if tensor.numel() <= _FEW:
        text = repr(_shortest(tensor.detach().cpu().tolist(), tensor.dtype))
        for word in ("nan", "inf"):
            text = text.replace(word, f"float('{word}')")
        return f"torch.tensor({text}, dtype={dtype})"
    shape = tuple(tensor.shape)
    if tensor.dtype is torch.bool:
        return f"torch.rand({shape}) < {float(tensor.float().mean()):.3g}"
    if tensor.is_complex():
        return f"torch.randn({shape}, dtype={dtype})"
    if not tensor.is_floating_point():
        low, high = int(tensor.min()), int(tensor.max()) + 1
        return f"torch.randint({low}, {high}, {shape}, dtype={dtype})"
    least, most = float(tensor.min()), float(tensor.max())
    if least >= 0.0:  # a restricted domain: probabilities, positive values
        return f"torch.empty({shape}, dtype={dtype}).uniform_({least:.6g}, {most:.6g})"
    return f"torch.randn({shape}, dtype={dtype})"
