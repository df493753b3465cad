"""Exporting a layer; which line fixed a dimension is known to a private class only."""

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from traceback import walk_tb
from types import FrameType
from typing import Any, Literal

import torch
from torch import nn

from layerwright.contract.source import Place, is_users
from layerwright.contract.torch_compat.dynamo import written_by_user
from layerwright.contract.trees import Inputs

_LAYERS_OF_TORCH = str(Path(torch.__file__).parent / "nn") + "/"


@dataclass(frozen=True)
class Exported:
    """What came of an export.

    Attributes:
        call: the exported layer; None if the export failed.
        words: what the failure said.
        place: the user's line that failed, or that fixed a dimension.
        stopped_by: "user": that line itself; "torch": a module of torch that it calls; "": unknown.
        fixed: the sizes that dimensions were fixed to although they were to be dynamic.
    """

    call: Callable[..., Any] | None = None
    words: str = ""
    place: Place = field(default_factory=Place)
    stopped_by: Literal["user", "torch", ""] = ""
    fixed: tuple[int, ...] = ()


def exported(
    layer: nn.Module, inputs: Inputs, dynamic: Iterable[str] = (), dim: int = 0
) -> Exported:
    """Export a layer.

    Args:
        layer: a private copy, in eval mode.
        inputs: private copies; torch may leave marks on them.
        dynamic: names of inputs whose dimension `dim` may be of any size.
        dim: see `dynamic`.
    """
    names = tuple(dynamic)
    shapes: Any = torch.export.ShapesCollection()
    for item in inputs.tensors():
        if item.name in names:
            shapes[item.tensor] = {dim: torch.export.Dim.DYNAMIC}
    with torch.no_grad(), redirect_stderr(io.StringIO()), _fixing() as fixed:  # torch prints graphs
        try:
            program = torch.export.export(
                layer,
                inputs.args,
                dict(inputs.kwargs),
                dynamic_shapes=shapes if names else None,
                strict=False,
            )
            return Exported(program.module())
        except Exception as error:  # noqa: BLE001 - export raises anything, the layer too
            words = next(iter(str(error).strip().splitlines()), "")
            said = f"{type(error).__name__}: {words[:200]}"
            if names and fixed:
                size, place, stopped_by = fixed[0]
                return Exported(None, said, place, stopped_by, (size,))
            frames = [frame for frame, _ in walk_tb(error.__traceback__)]
            lines = [line for _, line in walk_tb(error.__traceback__)]
            place, stopped_by = _place(zip(reversed(frames), reversed(lines), strict=True))
            return Exported(None, said, place, stopped_by)


_Fixed = tuple[int, Place, Literal["user", "torch", ""]]


@contextmanager
def _fixing() -> Iterator[list[_Fixed]]:
    """Note the sizes to which dimensions are fixed, and the lines that fix them."""
    from torch.fx.experimental.symbolic_shapes import ShapeEnv  # noqa: PLC0415 - slow to import

    found: list[_Fixed] = []
    owner: Any = ShapeEnv
    original = owner._set_replacement  # noqa: SLF001 - nothing public tells the line

    def noting(env: Any, symbol: Any, target: Any, *rest: Any, **options: Any) -> Any:
        if getattr(target, "is_Integer", False):
            found.append((int(target), *_place(_frames())))
        return original(env, symbol, target, *rest, **options)

    owner._set_replacement = noting  # noqa: SLF001
    try:
        yield found
    finally:
        owner._set_replacement = original  # noqa: SLF001


def _frames() -> Iterator[tuple[FrameType, int]]:
    """Yield the frames that run now with their lines, innermost first."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 - inspect.stack reads every file
    while frame is not None:
        if frame.f_code is exported.__code__:
            return  # what lies deeper called the check
        yield frame, frame.f_lineno
        frame = frame.f_back


def _place(
    frames: Iterable[tuple[FrameType, int]],
) -> tuple[Place, Literal["user", "torch", ""]]:
    """Return the user's innermost line, and whether a module of torch lies further in."""
    stopped_by: Literal["user", "torch"] = "user"
    for frame, line in frames:
        filename = frame.f_code.co_filename
        if filename.startswith(_LAYERS_OF_TORCH) and not filename.endswith("module.py"):
            stopped_by = "torch"
        elif written_by_user(filename):
            return (Place(filename, line) if is_users(filename) else Place()), stopped_by
    return Place(), ""
