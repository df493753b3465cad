"""The child's half of `layerwright.contract.loading.child`: takes requests, runs them, answers."""

import contextlib
import importlib
import os
import pickle
import struct
import sys
import threading
import traceback
from pathlib import Path
from typing import IO, Any

END_OF_OUTPUT = b"\0layerwright: all printed\0\n"  # on standard error, before each result

_LENGTH = struct.Struct("!Q")
_parent: IO[bytes] | None = None  # where replies go; None outside of a child
_lock = threading.Lock()


def write_frame(stream: IO[bytes], value: Any) -> None:
    """Write one pickled value with its length before it."""
    data = pickle.dumps(value)
    stream.write(_LENGTH.pack(len(data)) + data)
    stream.flush()


def read_frame(stream: IO[bytes]) -> Any:
    """Read what `write_frame` wrote; None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    data = stream.read(length)
    return pickle.loads(data) if len(data) == length else None  # noqa: S301 - our own pipe


def send(kind: str, value: Any) -> None:
    """Send a reply to the parent; outside of a child, do nothing."""
    if _parent is not None:
        with _lock:
            write_frame(_parent, (kind, value))


def serve() -> None:
    """Run requests until the parent goes away: path and module, then a function and arguments.

    The standard streams become the layer's: what it prints goes to standard error, it reads
    nothing. The parent is spoken to through copies that nobody else knows.
    """
    global _parent  # noqa: PLW0603 - a process has one parent
    requests = os.fdopen(os.dup(0), "rb")
    _parent = os.fdopen(os.dup(1), "wb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    _die_first()
    while head := read_frame(requests):
        sys.path[:], module = head  # what the parent can import, the child can
        with contextlib.suppress(Exception):  # the request itself fails the same way, and tells
            importlib.import_module(module)
        send("started", None)
        _answer(requests)


def _answer(requests: IO[bytes]) -> None:
    try:
        function, args = read_frame(requests)
        value = function(*args)
        _flush()
        try:
            send("returned", value)
        except Exception as error:
            raise TypeError(f"the result cannot be pickled: {error}") from error
    except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are told too
        lines = "".join(traceback.format_exception(error))
        _flush()
        send("raised", (f"{type(error).__name__}: {error}", lines))


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the layer may have closed or replaced it
            stream.flush()
    with contextlib.suppress(OSError):
        os.write(2, END_OF_OUTPUT)


def _die_first() -> None:
    """Leave no core file; where memory runs out, let the system end this process first."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - not on Windows

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
