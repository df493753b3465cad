"""Real processes of one process group, forked from this one, that all do the same work.

A fork has the layer as it is, also one of a class that no other process could import. Each process
computes with one thread, as a worker of a DataLoader does: the threads of this one are not copied.
"""

import contextlib
import faulthandler
import os
import pickle
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
import torch.distributed

from layerwright.contract.rule import LayerRaised, Skip

dist: Any = torch.distributed  # what it does not export is typed as absent

COLLECTIVE_LIMIT_S = 10.0  # that one rank waits for the others
_LIMIT_S = 60.0  # of all the work


@dataclass(frozen=True)
class Ended:
    """What came of one rank: a value, or why there is none."""

    value: Any = None
    words: str = ""


def in_ranks(size: int, work: Callable[[int], Any]) -> list[Ended]:
    """Run `work(rank)` in that many processes of one gloo group, and return what came of each.

    Args:
        size: number of processes.
        work: what each does; what it returns is copied out with pickle.

    Raises:
        Skip: this machine cannot do it.
    """
    if not sys.platform.startswith("linux"):
        raise Skip("processes are forked on Linux only")
    if not dist.is_available() or not dist.is_gloo_available():
        raise Skip("this torch has no distributed package")
    if dist.is_initialized():
        raise Skip("the process has a default process group already")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        store = Path(folder) / "store"
        pipes = [stack.enter_context(_forked(rank, size, store, work)) for rank in range(size)]
        return _collected(pipes)


@contextlib.contextmanager
def _forked(rank: int, size: int, store: Path, work: Callable[[int], Any]) -> Iterator[Connection]:
    """Fork one rank; yield what its answer comes through, and end it at last."""
    answer, to_parent = Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        _be_rank(rank, size, store, work, to_parent)
    to_parent.close()
    try:
        yield answer
    finally:
        answer.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _be_rank(
    rank: int, size: int, store: Path, work: Callable[[int], Any], answer: Connection
) -> None:
    """Do the work in the forked process, hand the answer over, and end without any clean-up."""
    try:
        _hush()
        torch.set_num_threads(1)
        os.environ["GLOO_SOCKET_IFNAME"] = "lo"
        dist.init_process_group(
            "gloo",
            init_method=store.as_uri(),
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=COLLECTIVE_LIMIT_S),
        )
        ended = Ended(work(rank))
    except LayerRaised as raised:
        ended = Ended(words=raised.words)
    except BaseException as error:  # noqa: BLE001 - a fork must not go on with its parent's work
        ended = Ended(words=f"{type(error).__name__}: {error}")
    try:
        answer.send_bytes(pickle.dumps(ended))
    finally:
        os._exit(0)


def _hush() -> None:
    """Let neither gloo nor the layer write to the terminal: its lines would come twice."""
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    faulthandler.disable()


def _collected(pipes: list[Connection]) -> list[Ended]:
    ended = [Ended(words=f"it did not come to an end within {_LIMIT_S:g} s")] * len(pipes)
    waiting, deadline = set(range(len(pipes))), time.monotonic() + _LIMIT_S
    while waiting and (left := deadline - time.monotonic()) > 0:
        ready = wait([pipes[rank] for rank in waiting], timeout=left)
        for rank in [rank for rank in waiting if pipes[rank] in ready]:
            waiting.remove(rank)
            try:
                ended[rank] = pickle.loads(pipes[rank].recv_bytes())  # noqa: S301 - of our own fork
            except (EOFError, OSError):
                ended[rank] = Ended(words="its process died")
    return ended
