"""Worker processes of torch's DataLoader: started quietly, ended at once, missed when they die."""

import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch.utils.data import DataLoader

from layerwright.errors import DataError

END: Any = object()  # what `next_row` returns after the last one


class WorkerStart:
    """Runs first in each worker: leaves Ctrl-C to the main process, then does what a user asks.

    Args:
        user_function: the user's own `worker_init_fn`, called with the worker's number, or None.
    """

    def __init__(self, user_function: Callable[[int], None] | None = None) -> None:
        self.user_function = user_function

    def __call__(self, worker: int) -> None:
        """Prepare worker number `worker`."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if self.user_function is not None:
            self.user_function(worker)


def quiet_loader(dataset: Any, **options: Any) -> DataLoader[Any]:
    """Return a DataLoader; how many workers there are is the user's decision, so no warning."""
    with _without_warnings():
        return DataLoader(dataset, **options)


def start_rows(loader: Any) -> Iterator[Any]:
    """Return `iter(loader)`; forking beside torch's threads is what DataLoader does."""
    with _without_warnings():
        return iter(loader)


def next_row(rows: Iterator[Any], *, workers: int) -> Any:
    """Return what comes next, `END` after the last.

    Raises:
        DataError: a worker process died, or did not answer in time.
    """
    try:
        return next(rows, END)
    except (RuntimeError, OSError, EOFError) as error:
        message = str(error)
        if not workers or message.startswith("Caught "):  # the dataset's own error, passed on
            raise
        raise DataError(
            f"reading the dataset expected {workers} live worker processes, received: "
            f"{message.splitlines()[0] if message else type(error).__name__}. "
            "Fix: look for lack of memory or a crash in the dataset; workers=0 shows where."
        ) from error


def stop_workers(rows: Any, loader: Any = None) -> None:
    """End the processes behind a DataLoader's iterator now, not when it is collected.

    Args:
        rows: the iterator; what has no workers is left as it is.
        loader: its DataLoader, which then forgets the iterator if it was to be used again.
    """
    stop = getattr(rows, "_shutdown_workers", None)
    if stop is not None:
        stop()
        if getattr(loader, "_iterator", None) is rows:
            loader._iterator = None  # noqa: SLF001 - a persistent loader would wait for the dead


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")
        warnings.filterwarnings("ignore", ".*fork.*", DeprecationWarning)
        yield
