"""What training on two processes costs beside a bare DistributedDataParallel loop.

    python benchmarks/distributed_overhead.py [--pairs 30] [--networks simplenet customnet]
        [--processes 2] [--json FILE]

The program starts the processes itself, on loopback with gloo, one thread each. Baseline: what a
person would write, in the same processes: DistributedDataParallel around the same network, the same
optimizer options, resident float tensors, a `randperm` that all processes share and a gather of the
own part of each batch. Against it, `fit`'s own session with progress, guard and checkpoints on.
Blocks of steps of the two alternate in lockstep; a pair's ratio is taken within the pair and the
median over the pairs is reported, of wall time (which includes waiting for the other process) and
of the processor time of all processes together.

The scaling efficiency is the time of a step in one process alone, over the number of processes
times that of a step in all of them: the batch is the same, so that 100 % is a step n times as
fast. One process is measured first, with the bare loop without DistributedDataParallel.

Bytes per step are read from the loopback interface (Linux), less what passes there while nothing is
trained: run it where nothing else uses loopback, such as in `unshare -n` with `ip link set lo up`.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from layerwright.training.assembly import Assembly, assemble
from layerwright.training.default_recipes import default_recipe
from layerwright.training.optimizers import build_optimizer
from layerwright.training.parameter_groups import parameter_groups
from layerwright.training.processes import OneProcess, joined
from layerwright.training.run_config import describe_run
from layerwright.training.run_folder import RunFolder
from layerwright.training.session import Session

BATCH_SIZE = 64  # of the whole batch
BLOCKS = {"simplenet": 100, "customnet": 10}
LIMIT = 1.02


class BareLoop:
    """The baseline."""

    def __init__(self, assembly: Assembly, images: Tensor, labels: Tensor) -> None:
        network = copy.deepcopy(assembly.network)
        recipe, processes = assembly.recipe, assembly.processes
        self.network: nn.Module = network
        if processes.size > 1:
            self.network = DistributedDataParallel(network)
        self.images, self.labels = images, labels
        self.rank, self.size = processes.rank, processes.size
        self.optimizer = build_optimizer(
            recipe.optimizer,
            parameter_groups(network, recipe.weight_decay),
            lr=recipe.lr,
            device=torch.device("cpu"),
            **recipe.optimizer_options,
        )
        self.batches = self._indices()

    def _indices(self) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(0)
        own = BATCH_SIZE // self.size
        first = self.rank * own
        while True:
            order = torch.randperm(len(self.images), generator=generator)
            for batch in order.split(BATCH_SIZE):
                yield batch[first : first + own]

    def run(self, num_steps: int) -> int:
        network, optimizer, images, labels = self.network, self.optimizer, self.images, self.labels
        for _ in range(num_steps):
            index = next(self.batches)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(images[index]), labels[index])
            loss.backward()
            optimizer.step()
        return num_steps


class FitLoop:
    """`fit`'s session, in blocks of steps."""

    def __init__(self, assembly: Assembly, folder: RunFolder | None) -> None:
        terminal = Console(file=io.StringIO(), force_terminal=True, width=100) if folder else None
        self.session = Session(assembly, folder, terminal)
        self.assembly, self.steps, self.end = assembly, assembly.steps, 0
        self.batches = assembly.train_batches.epoch(0)
        self.session._save()
        self.session.progress.start_epoch(0)

    def run(self, num_steps: int) -> int:
        before = self.steps.step
        self.end = before + num_steps
        while self.steps.step < self.end:
            self.steps.run(self.batches, due_at=self._due_at, on_due=self._on_due)
            if self.steps.step < self.end:
                self.steps.start_epoch(self.steps.epoch + 1)
                self.batches = self.assembly.train_batches.epoch(self.steps.epoch)
        return self.steps.step - before

    def _due_at(self) -> tuple[float, int]:
        due_time, due_step = self.session._due_at()
        return due_time, min(due_step, self.end)

    def _on_due(self) -> bool:
        return self.session._on_due() and self.steps.step < self.end


def summed(value: float, processes: OneProcess) -> float:
    """The sum over all processes, which waits for the slowest."""
    total = torch.tensor([value], dtype=torch.float64)
    if processes.size > 1:
        dist.all_reduce(total)
    return float(total)


def loopback_bytes() -> int | None:
    """What the loopback interface has received; None where the system does not tell."""
    try:
        lines = Path("/proc/self/net/dev").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.strip().startswith("lo:")), None)


def bytes_per_step(run: Callable[[int], int], num_steps: int) -> float | None:
    """Loopback traffic of a block, less that of an idle time as long."""
    dist.barrier()
    started, before = time.perf_counter(), loopback_bytes()
    steps = run(num_steps)
    dist.barrier()
    seconds, after = time.perf_counter() - started, loopback_bytes()
    time.sleep(seconds)
    dist.barrier()
    idle = loopback_bytes()
    if before is None or after is None or idle is None:
        return None
    return max((after - before) - (idle - after), 0) / steps


def measure(network: str, pairs: int, processes: OneProcess) -> dict[str, Any]:
    """Alternate blocks of both loops."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 10, (20_000,), generator=generator)
    images = torch.randn(20_000, 1, 28, 28, generator=generator)
    recipe = default_recipe(network, "mnist").changed(
        data=(images, labels),
        validation=0.0,
        batch_size=BATCH_SIZE,
        schedule="constant",
        epochs=10**6,
        device="cpu",
        metrics=("accuracy",),
    )
    assembly = assemble(recipe, processes=processes)
    config = describe_run(assembly)
    block = BLOCKS.get(network, 10)
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder.create(Path(scratch) / "run", config) if processes.rank == 0 else None
        bare, fit = BareLoop(assembly, images, labels), FitLoop(assembly, folder)
        walls: list[tuple[float, float]] = []
        cpus: list[tuple[float, float]] = []
        for pair in range(pairs + 2):
            times: dict[int, tuple[float, float]] = {}
            for loop in (bare, fit) if pair % 2 else (fit, bare):
                summed(0.0, processes)
                wall, cpu = time.perf_counter(), time.process_time()
                steps = loop.run(block)
                spent = summed(time.process_time() - cpu, processes)
                times[id(loop)] = ((time.perf_counter() - wall) / steps, spent / steps)
            if pair >= 2:  # after warm-up
                walls.append((times[id(bare)][0], times[id(fit)][0]))
                cpus.append((times[id(bare)][1], times[id(fit)][1]))
        traffic = {
            name: bytes_per_step(loop.run, 3 * block) if processes.size > 1 else None
            for name, loop in (("bare", bare), ("fit", fit))
        }
        if folder is not None:
            folder.close()
    ratios = [b / a for a, b in walls]
    num_parameters = sum(p.numel() for p in assembly.network.parameters() if p.requires_grad)
    return {
        "network": network,
        "processes": processes.size,
        "pairs": pairs,
        "steps_per_block": block,
        "bare_us": statistics.median(a for a, _ in walls) * 1e6,
        "fit_us": statistics.median(b for _, b in walls) * 1e6,
        "wall_ratio": statistics.median(ratios),
        "wall_ratio_quartiles": statistics.quantiles(ratios, n=4),
        "cpu_ratio": statistics.median(b / a for a, b in cpus),
        "gradient_bytes": 4 * num_parameters,
        "bare_bytes_per_step": traffic["bare"],
        "fit_bytes_per_step": traffic["fit"],
    }


def work(arguments: argparse.Namespace) -> None:
    """What each process does; the first one writes the rows for the parent."""
    torch.set_num_threads(1)
    with joined("cpu") as processes:
        rows = [measure(name, arguments.pairs, processes) for name in arguments.networks]
        if processes.rank == 0:
            arguments.rows.write_text(json.dumps(rows))


def start(arguments: argparse.Namespace, size: int, scratch: Path) -> list[dict[str, Any]]:
    """Start the processes, wait for them, and return their rows."""
    rows = scratch / f"rows-{size}.json"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, __file__, "--rows", str(rows), "--pairs", str(arguments.pairs)]
    command += ["--networks", *arguments.networks]
    shared = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(size),
        "OMP_NUM_THREADS": "1",
    }
    running = [
        subprocess.Popen(command, env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)})
        for rank in range(size)
    ]
    codes = [process.wait() for process in running]
    if any(codes):
        raise SystemExit("a process failed")
    found: list[dict[str, Any]] = json.loads(rows.read_text())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=30)
    parser.add_argument("--networks", nargs="*", default=["simplenet", "customnet"])
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rows is not None:
        work(arguments)
        return
    with tempfile.TemporaryDirectory() as scratch:
        alone = start(arguments, 1, Path(scratch))
        rows = start(arguments, arguments.processes, Path(scratch))
    for row, one in zip(rows, alone, strict=True):
        for name in ("bare", "fit"):
            row[f"{name}_us_alone"] = one[f"{name}_us"]
            row[f"{name}_efficiency"] = one[f"{name}_us"] / row[f"{name}_us"] / arguments.processes
    table = Table(
        title=f"Step of {arguments.processes} processes on loopback, batch {BATCH_SIZE} in all, "
        "against a bare DistributedDataParallel loop"
    )
    for column in (
        *("network", "bare us", "fit us", "wall ratio", "quartiles", "within", "cpu ratio"),
        *("efficiency", "gradient kB", "kB/step"),
    ):
        table.add_column(column, justify="right")
    for row in rows:
        low, _, high = row["wall_ratio_quartiles"]
        sent = [row[name] for name in ("bare_bytes_per_step", "fit_bytes_per_step")]
        table.add_row(
            row["network"],
            f"{row['bare_us']:.0f}",
            f"{row['fit_us']:.0f}",
            f"{row['wall_ratio']:.3f}",
            f"{low:.3f}-{high:.3f}",
            "yes" if row["wall_ratio"] <= LIMIT else "no",
            f"{row['cpu_ratio']:.3f}",
            f"{100 * row['bare_efficiency']:.0f} %, {100 * row['fit_efficiency']:.0f} %",
            f"{row['gradient_bytes'] / 1e3:.0f}",
            ", ".join("not measured" if value is None else f"{value / 1e3:.0f}" for value in sent),
        )
    table.caption = "efficiency and kB/step: of the bare loop, of fit"
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
