"""The answers of several processes that train one network together."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TextIO

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import Store

from layerwright.data.batches import Batches
from layerwright.data.interface import Batch
from layerwright.data.seeding import mixed_seed
from layerwright.data.share import Share
from layerwright.errors import OptionError
from layerwright.training.devices import resolve_device
from layerwright.training.distributed.evaluation import evaluate_together
from layerwright.training.distributed.replicas import Replicas
from layerwright.training.distributed.sharding import Shards, shard
from layerwright.training.distributed.shards import save_shards
from layerwright.training.gradient_steps import GradientSteps
from layerwright.training.losses import Loss
from layerwright.training.metrics import Metric
from layerwright.training.processes import OneProcess
from layerwright.training.recipe import Recipe
from layerwright.training.run_folder import RunFolder

MEETING_INTERVAL_S = 0.2  # how often the processes look up from their steps together


class SeveralProcesses(OneProcess):
    """One of the processes that train together.

    Args:
        rank: of this process, from 0; the first one writes the run folder.
        size: number of processes.
        local_rank: of this process among those of its machine.
        store: keeps what outlives a restart; None where nothing does.
        attempt: how often the launch was restarted.
    """

    def __init__(
        self,
        rank: int,
        size: int,
        local_rank: int,
        *,
        store: Store | None = None,
        attempt: int = 0,
    ) -> None:
        self.rank = rank
        self.size = size
        self.share = Share(rank, size)
        self.log_file: TextIO | None = None
        self._local_rank = local_rank
        self._store = store
        self._attempt = attempt
        self._run_dir: Path | None = None
        self._has_batch_norm = False
        self._num_runs = 0
        self._next_meeting = 0  # the step of it
        self._last_meeting = (0, time.monotonic())

    def device(self, name: str) -> torch.device:
        """Return this process's own device: with CUDA the one of its local rank."""
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cuda":
            present = torch.cuda.device_count()
            if self._local_rank >= present > 0:
                raise OptionError(
                    f"device expected a GPU for each process of a machine, received {present} GPUs "
                    f"and a process number {self._local_rank + 1}. "
                    f"Fix: torchrun --nproc-per-node {present}."
                )
            name = f"cuda:{self._local_rank}"
        device = resolve_device(name)
        if device.type == "cuda":
            torch.cuda.set_device(device)
        return device

    def random_seed(self, seed: int) -> int:
        """Return the run's seed on rank 0, and one derived from it elsewhere."""
        return mixed_seed(seed, "rank", self.rank) if self.rank else seed

    def spread(self, network: nn.Module, recipe: Recipe, example: Callable[[], Batch]) -> None:
        """Shard the network over the processes, where the recipe asks for that."""
        self.sharded = recipe.shard
        if recipe.shard:
            self._has_batch_norm = shard(network, recipe, example)

    def replicated(
        self,
        network: nn.Module,
        recipe: Recipe,
        criterion: Callable[[Any, Tensor], Tensor],
        example: Callable[[], Batch],
        autocast: Callable[[], AbstractContextManager[Any]] | None,
    ) -> Callable[..., Any]:
        """Return the network with its gradients averaged over the processes."""
        if self.sharded:
            sync = self._has_batch_norm and recipe.sync_batch_norm
            return Shards(network, sync_batch_norm=sync)
        return Replicas(network, recipe, criterion, example(), autocast)

    def agreed(self, value: Callable[[], Any]) -> Any:
        """Return what rank 0 gets when it calls `value`."""
        box = [value() if self.rank == 0 else None]
        dist.broadcast_object_list(box, src=0)
        return box[0]

    def any(self, flag: bool) -> bool:  # noqa: FBT001 - the question is the argument
        """Return whether the flag is up in any process."""
        raised = torch.tensor([float(flag)])
        dist.all_reduce(raised, dist.ReduceOp.MAX)
        return bool(raised)

    def gathered(self, value: Any) -> list[Any]:
        """Return the values of all processes on rank 0, an empty list elsewhere."""
        values: list[Any] | None = [None] * self.size if self.rank == 0 else None
        dist.gather_object(value, values, dst=0)
        return values or []

    def next_due(self, due_time: float, due_step: int, step: int) -> tuple[float, int]:  # noqa: ARG002
        """Return the step of the next meeting: clocks differ, and all must stop at one step."""
        if self._next_meeting <= step:
            self._next_meeting = step + 1
        return float("inf"), min(due_step, self._next_meeting)

    def decided(self, *, stop: bool, save: bool, step: int) -> tuple[bool, bool]:
        """Agree on what to do after this step, and on the step of the next meeting."""
        wishes = torch.zeros(3, dtype=torch.float64)
        wishes[0] = stop
        if self.rank == 0:
            wishes[1], wishes[2] = save, self._planned_meeting(step)
        dist.all_reduce(wishes, dist.ReduceOp.MAX)
        self._next_meeting = int(wishes[2])
        return bool(wishes[0]), bool(wishes[1])

    def mean_loss(self, steps: GradientSteps) -> float:
        """Add the processes' sums in the order of their ranks."""
        own = torch.tensor([float(steps.loss_sum), steps.num_seen], dtype=torch.float64)
        sums = [torch.empty_like(own) for _ in range(self.size)]
        dist.all_gather(sums, own)
        return sum(float(part[0]) for part in sums) / max(sum(float(part[1]) for part in sums), 1)

    def settle(self, network: nn.Module) -> None:
        """Give every process the buffers of rank 0, which checkpoints hold."""
        for buffer in network.buffers():
            dist.broadcast(buffer, src=0)

    def evaluate(
        self,
        network: nn.Module,
        batches: Batches,
        loss: Loss,
        metrics: list[Metric],
        autocast: Callable[[], AbstractContextManager[Any]] | None,
    ) -> dict[str, Any]:
        """Evaluate each sample in one process; rank 0 counts, and tells the others."""
        return evaluate_together(self, network, batches, loss, metrics, autocast)

    def save(self, folder: RunFolder | None, state: dict[str, Any] | None) -> None:
        """Let rank 0 write the checkpoint, or each process its part of sharded weights."""
        if self.sharded and state is not None:
            save_shards(folder.checkpoints if folder else None, state)
        else:
            super().save(folder, state)

    def begin_run(self, run_dir: Path) -> None:
        """Note the folder, for messages, and for the same launch after a restart."""
        self._run_dir = run_dir
        if self._store is not None and self.rank == 0:
            self._store.set(self._key(), str(run_dir.resolve()))
        self._num_runs += 1

    def begun_run(self) -> Path | None:
        """Return the folder of the run that this launch began before it was restarted."""
        return self.agreed(self._noted_run)

    def lines(self, batch_size: int | None) -> list[str]:
        """Say how many processes there are, and how many samples of a batch each takes."""
        count = batch_size or 0
        parts = sorted({Share(rank, self.size).num_own(count, count) for rank in range(self.size)})
        each = " or ".join(map(str, parts))
        if len(parts) > 1:
            each += f", since {count} is not a multiple of {self.size}; gradients are weighted"
        return [f"{self.size} processes, batches of {count} shared out: {each} samples each"]

    def log(self, run_dir: Path | None) -> TextIO | None:
        """Open `logs/rank-K.log` in the run folder."""
        if run_dir is None:
            return None
        folder = run_dir / "logs"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self.log_file = (folder / f"rank-{self.rank}.log").open("a", buffering=1)
            who = f"process {os.getpid()} on {socket.gethostname()}"
            self.log_file.write(f"rank {self.rank} of {self.size}: {who}\n")
        except OSError:  # a machine that cannot reach the folder trains all the same
            return None
        return self.log_file

    def how_to_continue(self) -> str:
        """Say what can be done with the run after a process has gone."""
        if self._run_dir is None:
            return "Fix: look at what that process printed; nothing was written to continue from."
        return (
            f"The last checkpoint in {self._run_dir} is intact. Fix: continue with torchrun ... "
            f"-m layerwright resume {self._run_dir}; torchrun --max-restarts does so by itself."
        )

    def _noted_run(self) -> Path | None:
        if self._store is None or self._attempt == 0 or not self._store.check([self._key()]):
            return None
        return Path(os.fsdecode(self._store.get(self._key())))

    def _key(self) -> str:
        return f"layerwright/run-{self._num_runs}"

    def _planned_meeting(self, step: int) -> int:
        """Plan the next meeting so that they are as far apart as is wanted."""
        last_step, last_time = self._last_meeting
        now = time.monotonic()
        taken, seconds = step - last_step, max(now - last_time, 1e-6)
        self._last_meeting = (step, now)
        if taken <= 0:
            return step + 1
        wanted = int(taken * MEETING_INTERVAL_S / seconds)
        return step + max(1, min(wanted, 4 * taken))
