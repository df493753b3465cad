"""Runs a function in a process of its own, which may crash, hang or eat memory."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any, Literal, Self

from layerwright.contract.loading import child_side
from layerwright.contract.loading.child_side import END_OF_OUTPUT, read_frame, write_frame
from layerwright.contract.loading.resident_memory import resident_bytes

Ended = Literal[
    "returned", "raised", "exited", "killed", "time limit", "memory limit", "output limit"
]

_START_LIMIT_S = 300.0  # to import torch on a machine that is busy
_POLL_S = 0.05
_TAIL_BYTES = 16_384  # what is kept of the child's output
_OUTPUT_LIMIT_BYTES = 64 * 2**20


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run in a child process ended.

    Attributes:
        ended: "returned"; "raised"; "exited" (`os._exit`); "killed" (by a signal, such as an abort
            inside C++); or "time limit", "memory limit", "output limit": ended by us.
        value: what the function returned.
        error: in words, how it ended; "" if it returned.
        traceback: of what it raised.
        exit_code: that the process ended with; negative for a signal.
        progress: what it last gave to `report_progress`.
        output: the end of what it printed; for a crash or a time limit, where Python stood.
        seconds: the time it took.
    """

    ended: Ended
    value: Any = None
    error: str = ""
    traceback: str = ""
    exit_code: int | None = None
    progress: str = ""
    output: str = ""
    seconds: float = 0.0


class Worker:
    """A child process that runs one function after the other, and is replaced when it dies.

    Use it as a context manager; leaving it, with Ctrl-C too, ends the child at once.
    """

    def __init__(self) -> None:
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        """Return the worker; its child starts with the first run."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self.close()

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def run(
        self,
        function: Callable[..., Any],
        *args: Any,
        time_limit_s: float,
        memory_limit_bytes: int | None = None,
        on_progress: Callable[[str], None] | None = None,
    ) -> Outcome:
        """Run a function in the child.

        Args:
            function: a function that pickle finds by its name: on top of an importable module.
            *args: its arguments, which can be pickled.
            time_limit_s: after which it is ended; imports of its module do not count.
            memory_limit_bytes: resident memory of the child, torch itself included (about 300 MB),
                after which it is ended; None for no limit. It is looked at 20 times a second; not
                enforced on Windows.
            on_progress: called with what the function gives to `report_progress`.

        Returns:
            What it returned, or how it ended.

        Raises:
            KeyboardInterrupt: Ctrl-C, after the child was ended.
        """
        if self._child is None:
            self._child = _Child()
        try:
            outcome = self._child.run(
                (function, args), time_limit_s, memory_limit_bytes, on_progress
            )
        except BaseException:
            self.close()
            raise
        swollen = (
            memory_limit_bytes
            and (resident_bytes(self._child.process.pid) or 0) > memory_limit_bytes / 2
        )
        if outcome.ended not in {"returned", "raised"} or swollen:
            self.close()
        return outcome


def run_in_child(
    function: Callable[..., Any],
    *args: Any,
    time_limit_s: float,
    memory_limit_bytes: int | None = None,
) -> Outcome:
    """Run a function in a fresh child process; see `Worker.run`."""
    with Worker() as worker:
        return worker.run(
            function, *args, time_limit_s=time_limit_s, memory_limit_bytes=memory_limit_bytes
        )


def report_progress(text: str) -> None:
    """Tell the parent what comes next; outside of a child, do nothing."""
    child_side.send("progress", text)


class _Child:
    """One process, the threads that read from it, and its end."""

    def __init__(self) -> None:
        # -P: no file of the current folder may stand in for a module of the library
        start = f"import sys; sys.path[:] = {sys.path!r}; from {child_side.__name__} import serve"
        self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
            [sys.executable, "-P", "-u", "-X", "faulthandler", "-c", f"{start}; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches us only; and its own children die with it
        )
        self.frames: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.tail = bytearray()
        self.printed = 0
        self.all_read = threading.Event()
        self.readers = [
            threading.Thread(target=self._read_frames, args=(self.process.stdout,), daemon=True),
            threading.Thread(target=self._read_output, args=(self.process.stderr,), daemon=True),
        ]
        for reader in self.readers:
            reader.start()

    def _read_frames(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed by us
            while frame := self._next_frame(stream):
                self.frames.put(frame)
        self.frames.put(("end", None))

    def _next_frame(self, stream: IO[bytes]) -> tuple[str, Any] | None:
        try:
            return read_frame(stream)
        except (OSError, ValueError):
            raise
        except Exception as error:  # noqa: BLE001 - unpickling runs what it likes
            return "raised", (f"TypeError: the result cannot be unpickled: {error!r}", "")

    def _read_output(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed by us
            while chunk := os.read(stream.fileno(), 65_536):
                self.printed += len(chunk)
                self.tail += chunk
                del self.tail[:-_TAIL_BYTES]
                if self.tail.endswith(END_OF_OUTPUT):
                    del self.tail[-len(END_OF_OUTPUT) :]
                    self.all_read.set()

    def run(
        self,
        request: tuple[Callable[..., Any], tuple[Any, ...]],
        time_limit_s: float,
        memory_limit_bytes: int | None,
        on_progress: Callable[[str], None] | None,
    ) -> Outcome:
        self.tail.clear()
        self.all_read.clear()
        self.printed = 0
        progress, begin, limit_s = "", time.monotonic(), _START_LIMIT_S
        if self.process.stdin is not None:
            with contextlib.suppress(OSError):  # it died meanwhile, which the loop finds out
                write_frame(self.process.stdin, (sys.path, request[0].__module__))
                write_frame(self.process.stdin, request)
        while True:
            with contextlib.suppress(queue.Empty):
                kind, value = self.frames.get(timeout=_POLL_S)
                if kind == "started":
                    begin, limit_s = time.monotonic(), time_limit_s
                elif kind == "progress":
                    progress = value
                    if on_progress is not None:
                        on_progress(value)
                else:
                    return self._finished(kind, value, progress, time.monotonic() - begin)
            seconds = time.monotonic() - begin
            ended = self._limit(seconds, limit_s, memory_limit_bytes)
            if ended is not None or self.process.poll() is not None:
                while not self.frames.empty():  # what it said before it died
                    kind, value = self.frames.get()
                    if kind == "progress":
                        progress = value
                    elif kind in {"returned", "raised"}:
                        return self._finished(kind, value, progress, seconds)
                return self._dead(ended, progress, seconds)

    def _limit(
        self, seconds: float, limit_s: float, memory_limit_bytes: int | None
    ) -> tuple[Ended, str] | None:
        """Return the limit that the child is over, and that in words."""
        if seconds > limit_s:
            return "time limit", f"did not end within {limit_s:g} s"
        memory = resident_bytes(self.process.pid) if memory_limit_bytes else None
        if memory is not None and memory_limit_bytes and memory > memory_limit_bytes:
            megabytes = memory_limit_bytes / 2**20
            return "memory limit", f"used {memory / 2**20:,.0f} MB of memory, of {megabytes:,.0f}"
        if self.printed > _OUTPUT_LIMIT_BYTES:
            return "output limit", f"printed more than {_OUTPUT_LIMIT_BYTES // 2**20} MB"
        return None

    def _finished(self, kind: str, value: Any, progress: str, seconds: float) -> Outcome:
        if kind == "end":
            return self._dead(None, progress, seconds)
        self.all_read.wait(timeout=1)
        said: dict[str, Any] = {"progress": progress, "seconds": seconds, "output": self._output()}
        if kind == "returned":
            return Outcome(ended="returned", value=value, **said)
        error, traceback = value
        return Outcome(ended="raised", error=f"raised {error}", traceback=traceback, **said)

    def _dead(self, over: tuple[Ended, str] | None, progress: str, seconds: float) -> Outcome:
        """End what is left of the child, and say what became of it."""
        if over is not None and over[0] == "time limit" and hasattr(signal, "SIGUSR1"):
            # faulthandler prints where it stands, even in a deadlock
            with contextlib.suppress(OSError):
                os.kill(self.process.pid, signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=1)
        if over is None:  # its pipe is closed; give it a moment to die by itself
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=1)
        code = self.process.poll()
        self.kill()
        ended, error = over or _ending(code)
        return Outcome(
            ended=ended,
            error=error,
            exit_code=code,
            progress=progress,
            output=self._output(),
            seconds=seconds,
        )

    def _output(self) -> str:
        return self.tail.decode(errors="replace")

    def kill(self) -> None:
        """End the child and what it started."""
        with contextlib.suppress(OSError):
            if hasattr(os, "killpg"):
                os.killpg(self.process.pid, signal.SIGKILL)
            else:
                self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join(timeout=1)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()


def _ending(code: int | None) -> tuple[Ended, str]:
    if code is None:
        return "killed", "closed its connection to the parent, and was ended"
    if code >= 0:
        return "exited", f"ended the process with exit code {code}"
    with contextlib.suppress(ValueError):
        return "killed", f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return "killed", f"was killed by signal {-code}"
