"""Lets a process say why it ends, before it obeys the launcher that ends it."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

DELAY_S = 0.5


class Termination:
    """While entered, SIGTERM ends the process a moment later, and not while it explains an error.

    When one process is killed, torchrun sends SIGTERM to the others at once: they would be gone
    before they have found out what happened. It waits 30 s for them.

    Attributes:
        explaining: whether the process is about to end by itself, with a message.
    """

    def __init__(self) -> None:
        self.explaining = False
        self._previous: Any = None

    def __enter__(self) -> Self:
        """Take over the signal, which belongs to the main thread."""
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signal back, unless the process is about to end with a message."""
        if self._previous is not None and not self.explaining:
            signal.signal(signal.SIGTERM, self._previous)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        end = threading.Timer(DELAY_S, self._end)
        end.daemon = True
        end.start()

    def _end(self) -> None:
        if not self.explaining:
            os._exit(128 + signal.SIGTERM)
