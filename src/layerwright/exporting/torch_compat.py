"""The one place of this room for torch's private interfaces.

- `TorchDispatchMode` (torch.utils._python_dispatch) sees each operator below autograd and below
  composite operators; torch documents it, and has no public name for it.
- `torch.onnx` and `torch.export` tell of their work through loggers and warnings, which say nothing
  to a reader who did not write the exporter.
"""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["TorchDispatchMode", "operator_name", "quiet"]


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
