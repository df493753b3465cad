"""Every error that layerwright raises on purpose.

    LayerwrightError
    ├── ShapeError        (ValueError)         a tensor does not fit
    ├── OptionError       (ValueError)         an option has an impossible value or an unknown name
    ├── TargetError       (LookupError)        "file.py:Net" or "pkg.mod:Net" leads nowhere
    ├── DataError         (ValueError)         data is missing, damaged or unsuitable
    ├── MissingExtraError (ImportError)        an optional dependency is not installed
    ├── RunFolderError    (RuntimeError)       a run folder is missing, in use or not ours
    ├── CheckpointError   (RuntimeError)       a checkpoint is damaged, unsafe or cannot be written
    ├── ExportError       (RuntimeError)       a network was not exported, or a file is refused
    ├── ProcessError      (RuntimeError)       another process of the same training has gone
    ├── NonFiniteError    (ArithmeticError)    training met NaN or infinity
    └── ContractError     (AssertionError)     a layer breaks the contract

Each message says what was expected, what was received and how to fix it. The command line prints
it without a traceback and ends with exit code 2 (wrong usage) or 1 (a run that failed).
"""


class LayerwrightError(Exception):
    """The root of all errors that layerwright raises on purpose."""

    exit_code = 2  # of the command line: 2 is wrong usage, 1 a failed run


class ShapeError(LayerwrightError, ValueError):
    """A tensor's shape does not fit what a layer, network or loss expects."""


class OptionError(LayerwrightError, ValueError):
    """An option has an impossible value or names something unknown."""


class TargetError(LayerwrightError, LookupError):
    """A target such as "file.py:Net" or "pkg.mod:Net" leads nowhere."""


class DataError(LayerwrightError, ValueError):
    """Data is missing, damaged or unsuitable."""


class MissingExtraError(LayerwrightError, ImportError):
    """An optional dependency is needed and not installed.

    Args:
        purpose: what needs it, such as "reading MNIST".
        package: the package that is missing, such as "datasets".
        extra: the extra of layerwright that brings it, such as "data".
    """

    def __init__(self, purpose: str, package: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed. "
            f"Fix: pip install 'layerwright[{extra}]'"
        )


class RunFolderError(LayerwrightError, RuntimeError):
    """A run folder is missing, in use by another process or not a run folder."""


class CheckpointError(LayerwrightError, RuntimeError):
    """A checkpoint is damaged, holds code, does not fit or cannot be written."""

    exit_code = 1


class ExportError(LayerwrightError, RuntimeError):
    """A network cannot be exported, its file computes something else, or a file is refused."""

    exit_code = 1


class ProcessError(LayerwrightError, RuntimeError):
    """Another process that trains the same network has failed, was killed or does not answer."""

    exit_code = 1


class NonFiniteError(LayerwrightError, ArithmeticError):
    """Training met a loss or gradient that is NaN or infinite."""

    exit_code = 1


class ContractError(LayerwrightError, AssertionError):
    """A layer breaks the contract, and the caller asked for an exception."""

    exit_code = 1
