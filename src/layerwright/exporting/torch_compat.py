"""The one place of this room for torch's private interfaces.

- `TorchDispatchMode` (torch.utils._python_dispatch) sees each operator below autograd and below
  composite operators; torch documents it, and has no public name for it.
- `torch._inductor` has the only entries to AOTInductor that torch's own tutorial uses, and
  `torch.utils._pytree` the only reader of the nesting of inputs that a package keeps as text.
- `torch.onnx` and `torch.export` tell of their work through loggers and warnings, which say nothing
  to a reader who did not write the exporter.
"""

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["TorchDispatchMode", "compile_package", "load_package", "operator_name", "quiet"]


def compile_package(program: ExportedProgram, path: Path, metadata: Mapping[str, str]) -> None:
    """Compile a program with AOTInductor into a .pt2 package."""
    torch._inductor.aoti_compile_and_package(  # noqa: SLF001 - see above
        program,
        package_path=str(path),
        inductor_configs={"aot_inductor.metadata": dict(metadata)},
    )


def load_package(path: Path) -> Callable[[list[torch.Tensor]], Any]:
    """Load the machine code of a package; return it as a function of its flat inputs."""
    package: Any = torch._inductor.aoti_load_package(str(path))  # noqa: SLF001

    def call(tensors: list[torch.Tensor]) -> Any:
        spec = _pytree.treespec_loads(package.loader.get_call_spec()[0])
        args, kwargs = _pytree.tree_unflatten(tensors, spec)
        return package(*args, **kwargs)

    return call


def operator_name(func: Any) -> str:
    """Return the name of an operator without its overload, such as "aten::mm"."""
    schema = getattr(func, "_schema", None)
    return str(schema.name) if schema is not None else str(func)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' log lines, warnings and printed graphs to themselves."""
    loggers = [logging.getLogger(name) for name in ("torch", "torch.onnx", "torch.export")]
    levels = [logger.level for logger in loggers]
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stderr(io.StringIO()),
            redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
