"""Joins the processes of one launch, and says to each of them why another has gone."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TextIO

import torch
import torch.distributed as dist
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from layerwright.errors import LayerwrightError, OptionError, ProcessError
from layerwright.training.distributed.heartbeats import Heartbeats
from layerwright.training.distributed.several_processes import SeveralProcesses
from layerwright.training.distributed.termination import Termination

# A collective waits this long, for whoever compiles, reads or writes; that a process has gone is
# noticed by its heartbeat, and much sooner.
TIMEOUT = timedelta(minutes=30)
JOIN_TIMEOUT = timedelta(minutes=5)  # for all processes to have started

_kept: list[Store] = []


@dataclass(frozen=True)
class Launch:
    """What torchrun says to a process about itself.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
        local_rank: of this process among those of its machine; decides which GPU is its own.
        attempt: how often the launch was restarted.
    """

    rank: int
    size: int
    local_rank: int
    attempt: int

    @classmethod
    def from_environment(cls) -> "Launch":
        """Read RANK, WORLD_SIZE and LOCAL_RANK.

        Raises:
            OptionError: one of them is no number.
        """
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "TORCHELASTIC_RESTART_COUNT")
        texts = [os.environ.get(name, "0") for name in names]
        try:
            rank, size, local_rank, attempt = map(int, texts)
        except ValueError as error:
            said = ", ".join(f"{name}={text}" for name, text in zip(names, texts, strict=True))
            raise OptionError(
                f"the environment expected numbers as torchrun sets them, received {said}. "
                "Fix: start with torchrun --nproc-per-node N -m layerwright train ..."
            ) from error
        return cls(rank, size, local_rank, attempt)


@contextmanager
def several_processes(device: str) -> Iterator[SeveralProcesses]:
    """Join the processes of this launch, and leave them together.

    Args:
        device: the recipe's device; gloo carries what lies on the CPU, NCCL what lies on CUDA.

    Raises:
        OptionError: the processes cannot talk about tensors on that device.
        ProcessError: the others cannot be reached, or one of them has gone.
    """
    on_cuda = _is_on_cuda(device)
    if dist.is_initialized():  # by the caller, who will also end it
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        yield SeveralProcesses(dist.get_rank(), dist.get_world_size(), local_rank)
        return
    launch = Launch.from_environment()
    store = _store(launch, JOIN_TIMEOUT)
    _kept.append(store)  # rank 0 may be who keeps it for the others, and they may join again
    prefix = f"layerwright/attempt-{launch.attempt}/join-{len(_kept)}"
    try:
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_cuda else "gloo",
            store=PrefixStore(prefix, store),
            rank=launch.rank,
            world_size=launch.size,
            timeout=TIMEOUT,
        )
    except (RuntimeError, ValueError) as error:
        raise ProcessError(
            f"rank {launch.rank} expected to reach {launch.size - 1} other processes, received: "
            f"{_first_line(error)} Fix: look at what the other processes printed."
        ) from error
    processes = SeveralProcesses(
        launch.rank, launch.size, launch.local_rank, store=store, attempt=launch.attempt
    )
    heartbeats = Heartbeats(
        PrefixStore(prefix, _store(launch, JOIN_TIMEOUT)),
        launch.rank,
        launch.size,
        processes.how_to_continue,
    )
    with (
        Termination() as termination,
        heartbeats,
        _explained(launch, heartbeats, processes, termination),
    ):
        try:
            yield processes
            dist.barrier()  # nobody is missed while the first process still writes
        finally:
            with suppress(RuntimeError):
                dist.destroy_process_group()


@contextmanager
def _explained(
    launch: Launch,
    heartbeats: Heartbeats,
    processes: SeveralProcesses,
    termination: Termination,
) -> Iterator[None]:
    """Tell the others about an error of this process, and this one about theirs."""
    try:
        yield
    except LayerwrightError as error:
        termination.explaining = True
        heartbeats.report(f"rank {launch.rank} failed: {error}")
        _write_log(processes.log_file, str(error))
        raise
    except RuntimeError as error:  # torch's collectives raise nothing more special
        termination.explaining = True
        if not is_broken_connection(error):
            heartbeats.report(f"rank {launch.rank} failed: {type(error).__name__}: {error}")
            _write_log(processes.log_file, traceback.format_exc())
            raise
        reason = heartbeats.reason() or (
            f"a connection to another process broke ({_first_line(error)}), which does not say why"
        )
        message = f"training stopped on rank {launch.rank}: {reason} {processes.how_to_continue()}"
        _write_log(processes.log_file, message)
        raise ProcessError(message) from error
    except BaseException as error:
        heartbeats.report(f"rank {launch.rank} failed: {type(error).__name__}: {error}")
        _write_log(processes.log_file, traceback.format_exc())
        raise


def is_broken_connection(error: RuntimeError) -> bool:
    """Whether an error of torch means that another process could not be reached.

    gloo, NCCL and the store have an error class of their own only where `torch.distributed` raises
    `DistBackendError` or `DistNetworkError`; the others are told by what they say.
    """
    if isinstance(error, dist.DistError):
        return True
    text = str(error)
    signs = (
        "Connection closed by peer",
        "Connection reset by peer",
        "Broken pipe",
        "Socket closed",
        "Timed out waiting",
        "gloo/transport",
        "NCCL",
    )
    return any(sign in text for sign in signs)


def _store(launch: Launch, timeout: timedelta) -> Store:
    """Connect to the store that torchrun (or else rank 0) keeps."""
    try:
        store, _, _ = next(rendezvous("env://", launch.rank, launch.size, timeout=timeout))
    except (RuntimeError, ValueError) as error:
        where = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise ProcessError(
            f"rank {launch.rank} expected to meet the other processes at {where}, received: "
            f"{_first_line(error)} Fix: start all of them with torchrun, and see that MASTER_ADDR "
            "and MASTER_PORT can be reached from each machine."
        ) from error
    return store


def _is_on_cuda(device: str) -> bool:
    """Say whether the run computes on CUDA.

    Raises:
        OptionError: there is no backend for the device.
    """
    kind = device.split(":", maxsplit=1)[0]
    if kind == "auto":
        return torch.cuda.is_available()
    if kind not in ("cpu", "cuda"):
        raise OptionError(
            f"device expected cpu or cuda for several processes, received {device!r}: gloo and "
            "NCCL carry no other tensors. Fix: --device cpu, or one process."
        )
    return kind == "cuda"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _write_log(log: TextIO | None, text: str) -> None:
    if log is not None:
        with suppress(OSError, ValueError):
            log.write(text.rstrip() + "\n")
            log.flush()
    sys.stdout.flush()
