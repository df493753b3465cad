"""Compiling a layer without touching what the caller has compiled: dynamo's parts are private.

Dynamo keeps what it compiled on code objects, which all layers of a class share. A layer is
therefore compiled through a function whose code object is new, as one graph: everything else is
inlined, or refused, so that nothing is left on the code of others.
"""

import itertools
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any, Literal

import torch
from torch import nn

from layerwright.contract.source import Place, is_users

_NUMBERS = itertools.count()

# Lines of what dynamo says about a recompilation: "- 8/4: layer.n == 4  # ..." and stack frames.
_GUARD = re.compile(r"\s*- \d+/\d+: (.+)")
_FRAME = re.compile(r'\s*-\s+File "(.+)", line (\d+), in (\w+)')

# Layers of torch that it does not trace, wherever they are called.
_TORCH_S_OWN = ("Attempted to wrap RNN",)


class NotTraced(Exception):  # noqa: N818 - says what came of an attempt
    """Dynamo could not turn the layer into one graph.

    Attributes:
        words: what it says, in one line.
        place: the user's line that it stopped at.
        text: that line's source.
        stopped_by: "user": that line itself stopped it; "torch": code of torch did that it calls;
            "": no line of the user's is involved.
        broken: whether the graph breaks there; else the compiler itself failed.
        cause: what dynamo raised.
    """

    def __init__(self, error: Exception, *, broken: bool) -> None:
        self.words = _first_line(error)
        self.place, self.text, self.stopped_by = _stack(error)
        if self.stopped_by and self.words.startswith(_TORCH_S_OWN):
            self.stopped_by = "torch"
        self.broken = broken
        self.cause = error
        super().__init__(self.words)


@dataclass
class Compiled:
    """A layer that is compiled when it is called.

    Attributes:
        call: calls it; the arguments are those of the layer.
        count: how often it was compiled so far.
        name: of the function that it is called through.
    """

    call: Callable[..., Any] = field(default=lambda: None)
    count: int = 0
    name: str = ""


@contextmanager
def compiled(
    layer: nn.Module, backend: Literal["eager", "aot_eager"], *, dynamic: bool | None = False
) -> Iterator[Compiled]:
    """Compile a layer as one graph, and forget all of it at the end.

    Args:
        layer: a private copy.
        backend: "eager" runs the graph as it is; "aot_eager" traces its backward pass as well.
        dynamic: as in `torch.compile`; False compiles anew for every shape.

    Yields:
        What to call it with; the call raises NotTraced if dynamo refuses.
    """
    from torch._dynamo import exc  # noqa: PLC0415 - takes seconds to import
    from torch._dynamo.backends.registry import lookup_backend  # noqa: PLC0415

    dynamo: Any = torch._dynamo  # noqa: SLF001 - what it does not export is typed as absent
    result = Compiled()
    lower = lookup_backend(backend)

    def counting(graph: Any, example_inputs: Any, **options: Any) -> Any:
        result.count += 1
        return lower(graph, example_inputs, **options)

    def run(*args: Any, **kwargs: Any) -> Any:
        return layer(*args, **kwargs)

    # A name of its own: dynamo remembers by name which shapes changed in an earlier call.
    result.name = f"run_{next(_NUMBERS)}"
    code = run.__code__.replace(co_name=result.name)
    # Global variables of its own: dynamo puts what it compiled among them.
    own = {"__builtins__": __builtins__, "__name__": __name__}
    fresh = FunctionType(code, own, closure=run.__closure__)
    function = torch.compile(fresh, backend=counting, fullgraph=True, dynamic=dynamic)

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (exc.Unsupported, exc.UserError, exc.TorchRuntimeError) as error:
            raise NotTraced(error, broken=True) from None
        except exc.TorchDynamoException as error:
            raise NotTraced(error, broken=False) from None

    result.call = call
    with _importable(layer):
        try:
            yield result
        finally:
            dynamo.reset_code(code)


def recompile_reason(run: Compiled, *args: Any, **kwargs: Any) -> tuple[str, Place]:
    """Return why another call would be compiled anew, and the user's line that it comes from.

    Returns:
        The condition under which the last compilation holds, "" if no line of the user's asks
        for it, and that line.
    """
    from torch._dynamo import config, exc  # noqa: PLC0415 - takes seconds to import

    try:
        with config.patch(error_on_recompile=True):
            run.call(*args, **kwargs)
    except (NotTraced, exc.RecompileError) as error:
        text = str(error.cause if isinstance(error, NotTraced) else error)
    else:
        return "", Place()
    condition, place, users = "", Place(), False
    for line in text.splitlines():
        guard = _GUARD.match(line)
        frame = _FRAME.match(line)
        if guard and condition:
            break  # of an earlier compilation
        if guard:
            condition = " ".join(guard[1].split("  # ")[0].split())
        elif frame and condition and frame[3] != run.name and written_by_user(frame[1]):
            users = True
            place = Place(frame[1], int(frame[2])) if is_users(frame[1]) else Place()
    return (condition, place) if users else ("", Place())


def _stack(error: BaseException) -> tuple[Place, str, Literal["user", "torch", ""]]:
    """Return the user's deepest line of a trace, its text, and whose code stopped there."""
    frames = list(getattr(error, "real_stack", None) or ())
    users = [frame for frame in frames if written_by_user(frame.filename)]
    if not users:
        return Place(), "", ""
    last = users[-1]
    # What was typed in at a prompt has no file.
    place = Place(last.filename, last.lineno) if is_users(last.filename) else Place()
    return place, last.line or "", "user" if frames[-1] is last else "torch"


def written_by_user(filename: str) -> bool:
    """Tell whether a file is the user's; code that was typed in at a prompt is, too."""
    return is_users(filename) or (
        filename.startswith("<") and not filename.startswith(("<frozen", "<string", "<eval_with"))
    )


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


@contextmanager
def _importable(layer: nn.Module) -> Iterator[None]:
    """Let dynamo import the modules that define the layer's classes, also those of no file."""
    added = []
    for cls in {base for module in layer.modules() for base in type(module).__mro__}:
        names = getattr(vars(cls).get("forward"), "__globals__", None)
        if cls.__module__ not in sys.modules and isinstance(names, dict):
            module = ModuleType(cls.__module__)
            vars(module).update(names)
            sys.modules[cls.__module__] = module
            added.append(cls.__module__)
    try:
        yield
    finally:
        for name in added:
            sys.modules.pop(name, None)
