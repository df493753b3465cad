"""Ctrl-C and SIGTERM end a run between two steps, with a checkpoint."""

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupts:
    """While entered, the first SIGINT or SIGTERM sets `requested`; a second SIGINT raises.

    Signals belong to the main thread: in another one this does nothing.

    Args:
        repeated: a launcher passes each Ctrl-C on, so that it arrives twice; only a SIGINT that
            comes later than that counts as the second one.
    """

    def __init__(self, *, repeated: bool = False) -> None:
        self.requested = False
        self._repeats_until = 0.0
        self._repeat_s = 3.0 if repeated else 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take over the two signals."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the signals back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.requested and number == signal.SIGINT and now >= self._repeats_until:
            raise KeyboardInterrupt
        if not self.requested:
            self._repeats_until = now + self._repeat_s
        self.requested = True
