"""What the training loop costs beside a bare loop: CPU time per step, on one thread.

    python benchmarks/training_overhead.py --data-dir DATA [--pairs 200] [--json FILE]
        [--no-peers] [--peer-pairs 20]

Baseline: a bare loop in the same process, on the same network object and initial weights, with the
same optimizer options, memory format and threads; resident float tensors, `randperm` and a gather
for each batch, no metrics. Against it, `fit`'s own session with progress (to a terminal),
metrics, the non-finite guard and checkpoints on. Blocks of steps of the two alternate; a pair's
ratio is taken within the pair, and the median over the pairs is reported.

What happens once in a while falls into few blocks and would vanish in a median: the writing of a
checkpoint (every 30 s) and the end of an epoch are timed on their own and added to each step in
proportion. Wall time is printed too. Without MNIST at hand random images of its shape are used.

The other trainers that are installed follow in a second table, against the same bare loop; what
they are given and spared is said in `peers.py`.
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import peers
from layerwright.training import network_state
from layerwright.training.assembly import Assembly, assemble
from layerwright.training.default_recipes import default_recipe
from layerwright.training.optimizers import build_optimizer
from layerwright.training.parameter_groups import parameter_groups
from layerwright.training.run_config import describe_run
from layerwright.training.run_folder import RunFolder
from layerwright.training.session import Session

BATCH_SIZE = 64
CHECKPOINT_INTERVAL_S = 30.0
LIMITS = {"ratio": 1.02, "absolute_us": 50.0}


@dataclass
class Timing:
    """Seconds per step of one block."""

    cpu: float
    wall: float


def timed(block: Callable[[int], int], num_steps: int) -> Timing:
    """Run a block and divide its time by the steps that it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    steps = block(num_steps)
    return Timing((time.process_time() - cpu) / steps, (time.perf_counter() - wall) / steps)


def median_cpu_us(action: Callable[[], None], repeats: int = 9) -> float:
    """The median CPU time of something that happens once in a while, in microseconds."""
    times = []
    for _ in range(repeats):
        started = time.process_time()
        action()
        times.append((time.process_time() - started) * 1e6)
    return statistics.median(times)


def bare_optimizer(assembly: Assembly) -> torch.optim.Optimizer:
    """An optimizer of its own for the bare loop and each peer, with `fit`'s options."""
    recipe = assembly.recipe
    return build_optimizer(
        recipe.optimizer,
        parameter_groups(assembly.network, recipe.weight_decay),
        lr=recipe.lr,
        device=torch.device("cpu"),
        **recipe.optimizer_options,
    )


class BareLoop:
    """The baseline: what a person would write, without a word too much."""

    def __init__(self, assembly: Assembly, images: Tensor, labels: Tensor) -> None:
        self.network = assembly.network
        self.images, self.labels = images, labels
        self.optimizer = bare_optimizer(assembly)
        self.batches = self._indices()

    def _indices(self) -> Iterator[Tensor]:
        while True:
            order = torch.randperm(len(self.images))
            yield from order.split(BATCH_SIZE)

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
    """`fit`'s session, in blocks of steps: its own loop with its own housekeeping."""

    def __init__(self, assembly: Assembly, folder: RunFolder) -> None:
        terminal = Console(file=io.StringIO(), force_terminal=True, width=100)
        self.session = Session(assembly, folder, terminal)
        self.steps = assembly.steps
        self.assembly = assembly
        self.batches = assembly.train_batches.epoch(0)
        self.end = 0
        self.session._save()
        self.session.progress.start_epoch(0)

    def run(self, num_steps: int) -> int:
        before = self.steps.step
        self.end = before + num_steps
        while self.steps.step < self.end:
            self.steps.run(self.batches, due_at=self._due_at, on_due=self._on_due)
            if self.steps.step < self.end:  # the epoch is over; its end is timed on its own
                self.steps.start_epoch(self.steps.epoch + 1)
                self.batches = self.assembly.train_batches.epoch(self.steps.epoch)
        return self.steps.step - before

    def _due_at(self) -> tuple[float, int]:
        due_time, due_step = self.session._due_at()
        return due_time, min(due_step, self.end)

    def _on_due(self) -> bool:
        return self.session._on_due() and self.steps.step < self.end


def assemble_job(network: str, data_dir: str | None, images: Tensor, labels: Tensor) -> Assembly:
    """The parts of `fit` for a network; who measures with it trains that network."""
    recipe = default_recipe(network, "mnist").changed(
        data=(images, labels) if data_dir is None else "mnist",
        data_dir=data_dir,
        validation=0.0,
        batch_size=BATCH_SIZE,
        schedule="constant",
        epochs=10**6,
        device="cpu",
        metrics=("accuracy",),
        checkpoint_every=f"{CHECKPOINT_INTERVAL_S:g}s",
    )
    return assemble(recipe)


def measure(network: str, data_dir: str | None, pairs: int, block_steps: int) -> dict[str, Any]:
    """Interleave blocks of both loops for one network; all times in microseconds per step."""
    images, labels = mnist(data_dir)
    assembly = assemble_job(network, data_dir, images, labels)
    with tempfile.TemporaryDirectory() as scratch:
        folder = RunFolder.create(Path(scratch) / "run", describe_run(assembly))
        bare, fit = BareLoop(assembly, images, labels), FitLoop(assembly, folder)
        initial = network_state.capture(assembly.network)
        ratios, wall_ratios, bares, fits = [], [], [], []
        for pair in range(pairs + 2):
            first, second = (bare, fit) if pair % 2 else (fit, bare)
            results: dict[int, Timing] = {}
            for loop in (first, second):
                network_state.restore(assembly.network, initial)
                results[id(loop)] = timed(loop.run, block_steps)
            if pair < 2:  # warm-up
                continue
            a, b = results[id(bare)], results[id(fit)]
            ratios.append(b.cpu / a.cpu)
            wall_ratios.append(b.wall / a.wall)
            bares.append(a.cpu * 1e6)
            fits.append(b.cpu * 1e6)
        network_state.restore(assembly.network, initial)
        save_us = median_cpu_us(fit.session._save)
        epoch_end_us = median_cpu_us(lambda: fit.session._end_epoch(1.0))
        folder.close()
    steps_per_epoch = -(-len(images) // BATCH_SIZE)
    bare_us = statistics.median(bares)
    rare_us = save_us * bare_us / (CHECKPOINT_INTERVAL_S * 1e6) + epoch_end_us / steps_per_epoch
    ratio = statistics.median(ratios) + rare_us / bare_us
    return {
        "network": network,
        "pairs": pairs,
        "steps_per_block": block_steps,
        "bare_us": bare_us,
        "fit_us": statistics.median(fits) + rare_us,
        "cpu_ratio": ratio,
        "cpu_ratio_quartiles": statistics.quantiles(ratios, n=4),
        "wall_ratio": statistics.median(wall_ratios),
        "checkpoint_us": save_us,
        "epoch_end_us": epoch_end_us,
        "rare_us_per_step": rare_us,
        "overhead_us": bare_us * (ratio - 1),
    }


def measure_peers(
    network: str, data_dir: str | None, pairs: int, block_steps: int
) -> list[dict[str, Any]]:
    """The installed peers against the bare loop, each with a copy of the same new network."""
    images, labels = mnist(data_dir)
    assembly = assemble_job(network, data_dir, images, labels)
    rows = []
    for peer in peers.PEERS:
        if not peer.available():
            continue
        own = replace(assembly, network=copy.deepcopy(assembly.network))
        bare = BareLoop(own, images, labels)
        comparison = peers.Comparison(own.network, bare.run, pairs, block_steps)
        work = partial(peers.Work, own.network, bare_optimizer(own), own.recipe, images, labels)
        rows.append({"network": network} | peers.measure_peer(peer, comparison, work))
    return rows


def print_peers(rows: list[dict[str, Any]], console: Console) -> None:
    table = Table(title="Other trainers: CPU time per step against the same bare loop")
    for column in ("network", "trainer", "version", "ratio", "quartiles"):
        table.add_column(column, justify="right" if column == "ratio" else "left")
    failed = [row for row in rows if "failed" in row]
    measured = [row for row in rows if "failed" not in row]
    for row in sorted(measured, key=lambda row: (row["network"], row["cpu_ratio"])):
        low, _, high = row["cpu_ratio_quartiles"]
        table.add_row(
            row["network"],
            row["peer"],
            row["version"],
            f"{row['cpu_ratio']:.2f}",
            f"{low:.2f}-{high:.2f}",
        )
    console.print(table)
    for row in failed:
        print(f"{row['network']}, {row['peer']} {row['version']} failed: {row['failed']}")
    missing = [peer.name for peer in peers.PEERS if not peer.available()]
    if missing:
        print(f"not installed, so not measured: {', '.join(missing)}")


def mnist(data_dir: str | None) -> tuple[Tensor, Tensor]:
    """Normalised training images, `(N, 1, 28, 28)` float32, and labels; random without data."""
    if data_dir is None:
        generator = torch.Generator().manual_seed(0)
        labels = torch.randint(0, 10, (60_000,), generator=generator)
        return torch.randn(60_000, 1, 28, 28, generator=generator), labels
    from layerwright.data.catalog import load_data
    from layerwright.data.splits import TensorSplit

    split = load_data("mnist", data_dir=data_dir, validation=0.0).train
    if not isinstance(split, TensorSplit) or split.normalization is None:
        raise SystemExit("mnist was expected in memory, with a normalisation")
    return split.normalization.apply(split.inputs[0]), split.targets


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", default=os.environ.get("LAYERWRIGHT_DATA_DIR"))
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--networks", nargs="*", default=["simplenet", "customnet"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--no-peers", action="store_true", help="leave the other trainers out")
    parser.add_argument("--peer-pairs", type=int, default=20, help="pairs for each other trainer")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    blocks = {"simplenet": 100, "customnet": 12}
    rows = [
        measure(name, arguments.data_dir, arguments.pairs, blocks.get(name, 12))
        for name in arguments.networks
    ]
    table = Table(title=f"CPU time per step, batch {BATCH_SIZE}, one thread, against a bare loop")
    for column in ("network", "bare us", "fit us", "ratio", "quartiles", "wall ratio", "within"):
        table.add_column(column, justify="right")
    for row in rows:
        low, _, high = row["cpu_ratio_quartiles"]
        within = row["cpu_ratio"] <= LIMITS["ratio"] and row["overhead_us"] <= LIMITS["absolute_us"]
        table.add_row(
            row["network"],
            f"{row['bare_us']:.0f}",
            f"{row['fit_us']:.0f}",
            f"{row['cpu_ratio']:.3f}",
            f"{low:.3f}-{high:.3f}",
            f"{row['wall_ratio']:.3f}",
            "yes" if within else "no",
        )
    console = Console(width=None if sys.stdout.isatty() else 120)
    console.print(table)
    for row in rows:
        print(
            f"{row['network']}: a checkpoint costs {row['checkpoint_us'] / 1e3:.1f} ms of CPU, "
            f"the end of an epoch {row['epoch_end_us'] / 1e3:.2f} ms; "
            f"together {row['rare_us_per_step']:.2f} us a step, included above"
        )
    peer_rows: list[dict[str, Any]] = []
    if not arguments.no_peers:
        for name in arguments.networks:
            steps = blocks.get(name, 12)
            peer_rows += measure_peers(name, arguments.data_dir, arguments.peer_pairs, steps)
        print_peers(peer_rows, console)
    if arguments.json:
        report = {"torch": torch.__version__, "rows": rows, "peers": peer_rows}
        arguments.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
