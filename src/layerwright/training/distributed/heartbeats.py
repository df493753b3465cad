"""Notices that a process has gone, and makes sure that all others hear of it and end.

A collective that waits for a process which is gone may wait until its timeout: nobody says so when
a machine loses its power, and a process that hangs keeps its connections. So each process writes a
beat into the store once a second and watches the one after it, in a ring; who finds a neighbour
silent says so under one key that all of them read. Where the store itself falls silent, the machine
that keeps it has gone.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from torch.distributed.distributed_c10d import Store

BEAT_S = 1.0
SILENCE_S = 30.0  # after which a process counts as gone: all others have ended within a minute
SUSPECTED_SILENCE_S = 5.0  # the same, where a connection has broken already
GRACE_S = 5.0  # for a process to end by itself, once it is known that another has gone
_REASON = "reason"  # the key under which the first reason stands


class Heartbeats:
    """A thread that beats and watches, from `__enter__` to `__exit__`.

    Args:
        store: reached by a connection of its own, since a store answers one thread at a time.
        rank: of this process.
        size: number of processes.
        advice: says what to do about a process that has gone.
    """

    def __init__(self, store: Store, rank: int, size: int, advice: Callable[[], str]) -> None:
        self._store = store
        self._rank = rank
        self._watched = (rank + 1) % size
        self._advice = advice
        self._ended = threading.Event()
        self._suspecting = False
        self._reason = ""
        self._lock = threading.Lock()
        self._answered_at = time.monotonic()  # when the store did last
        self._threads = [
            threading.Thread(target=target, name="heartbeats", daemon=True)
            for target in (self._run, self._watch_store)
        ]

    def __enter__(self) -> Self:
        """Begin to beat."""
        self._store.set(f"who/{self._rank}", f"process {os.getpid()} on {socket.gethostname()}")
        self._beat(0)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; whoever still watches sees silence, so leave together or report first."""
        self._ended.set()
        self._threads[0].join(timeout=2 * BEAT_S)

    def report(self, reason: str) -> None:
        """Say to all others why training ends; the first reason is kept."""
        try:
            with self._lock:
                self._store.compare_set(_REASON, "", reason)
        except RuntimeError:  # the store has gone with the launcher
            pass

    def reason(self) -> str:
        """Wait until it is known which process has gone, after a connection has broken.

        Returns:
            One sentence; empty where it could not be found out.
        """
        self._suspecting = True
        limit = time.monotonic() + 2 * SUSPECTED_SILENCE_S
        while time.monotonic() < limit and not self._reason:
            time.sleep(BEAT_S / 5)
        return self._reason

    def _run(self) -> None:
        number, seen = 0, b""
        seen_at = looked_at = time.monotonic()
        while not self._ended.wait(BEAT_S):
            number += 1
            try:
                with self._lock:
                    self._beat(number)
                    beat = self._read(f"beat/{self._watched}")
                    reason = self._read(_REASON).decode(errors="replace")
            except RuntimeError:
                reason = "the launcher, or rank 0, which keeps the store, has gone."
                beat = seen
            now = self._answered_at = time.monotonic()
            asleep = now - looked_at > SUSPECTED_SILENCE_S  # this process was stopped itself
            looked_at = now
            if beat != seen or asleep:
                seen, seen_at = beat, now
            limit = SUSPECTED_SILENCE_S if self._suspecting else SILENCE_S
            if not reason and now - seen_at > limit:
                self.report(self._silence(now - seen_at))
                continue  # the next round reads whose reason came first
            if reason:
                self._reason = reason
                self._end_if_stuck(reason)
                return

    def _watch_store(self) -> None:
        """End the process where the store does not answer: asking it then takes for ever."""
        looked_at = time.monotonic()
        while not self._ended.wait(BEAT_S):
            now = time.monotonic()
            if now - looked_at > SUSPECTED_SILENCE_S:  # this process was stopped itself
                self._answered_at = now
            looked_at = now
            silent_s = now - self._answered_at
            limit = SUSPECTED_SILENCE_S if self._suspecting else SILENCE_S
            if silent_s > limit and not self._reason:
                self._reason = (
                    f"the store that all processes share has not answered for {silent_s:.0f} s: "
                    "the machine of the launcher or of rank 0 cannot be reached."
                )
                self._end_if_stuck(self._reason)
                return

    def _end_if_stuck(self, reason: str) -> None:
        """End the process if its main thread does not: it may wait for one that is gone."""
        if self._ended.wait(GRACE_S):
            return
        message = f"training stopped on rank {self._rank}: {reason} {self._advice()}"
        print(f"rank {self._rank}: error: {message}", file=sys.stderr)
        sys.stderr.flush()
        os._exit(1)

    def _beat(self, number: int) -> None:
        self._store.set(f"beat/{self._rank}", str(number))

    def _read(self, key: str) -> bytes:
        return self._store.get(key) if self._store.check([key]) else b""

    def _silence(self, seconds: float) -> str:
        with self._lock:
            who = self._read(f"who/{self._watched}").decode(errors="replace")
        return (
            f"rank {self._watched} ({who}) has not answered for {seconds:.0f} s: it was killed, "
            "ran out of memory, hangs, or its machine cannot be reached."
        )
