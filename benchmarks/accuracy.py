"""What the default recipes reach: network, data set, epochs, seconds, test accuracy over seeds.

    python benchmarks/accuracy.py [--data-dir DATA] [--only customnet-digits ...] [--json FILE]

Each run is `layerwright train --network NETWORK --data DATA --seed SEED`: the recipe was chosen on
the validation split, the test split is touched once, after the last epoch. Where another metric
stands beside the name it is measured in place of accuracy. The digits and scenes of them come with
the package; what is not at hand of the others is left out, and that is said.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import layerwright as lw
from layerwright.training.default_recipes import default_recipe


@dataclass(frozen=True)
class Job:
    """One row of the table, and what it has to reach.

    Attributes:
        network: a built-in network.
        data: a built-in data set.
        num_seeds: runs with the seeds 0, 1, ...
        mean: the least mean test accuracy, as a share; 0 where none was asked for.
        worst: the least test accuracy of any seed.
        seconds: the most seconds that one run may take, if there is a limit.
        metric: what is measured in place of accuracy, a share too.
    """

    network: str
    data: str
    num_seeds: int
    mean: float
    worst: float = 0.0
    seconds: float = float("inf")
    metric: str = "accuracy"

    @property
    def name(self) -> str:
        """How `--only` and the recipes call the job."""
        return f"{self.network}-{self.data}"


BUNDLED = ("digits", "scenes")
JOBS = (
    Job("customnet", "digits", 10, mean=0.98, worst=0.97, seconds=60),
    Job("simplenet", "mnist", 3, mean=0.98, seconds=60),
    Job("convnet", "mnist", 3, mean=0.989),
    Job("customnet", "mnist", 3, mean=0.992),
    Job("customnet", "cifar10", 3, mean=0.73),
    Job("single-shot-detector", "scenes", 3, mean=0.7, metric="map"),
    Job("bag-of-ngrams", "imdb", 3, mean=0.913, seconds=180),
    Job("text-bilstm", "imdb", 1, mean=0.0),
    Job("text-cnn", "imdb", 1, mean=0.0),
    Job("text-transformer", "imdb", 1, mean=0.0),
    Job("resnet9", "mnist", 3, mean=0.996),
    Job("resnet9", "cifar10", 1, mean=0.91),
)


@dataclass(frozen=True)
class Result:
    """The runs of one job."""

    name: str
    epochs: int
    parameters: int
    accuracies: list[float]
    validation: list[float]
    seconds: list[float]
    reached: bool


def run_job(job: Job, data_dir: str | None, num_seeds: int, console: Console) -> Result:
    """Train a job's network with each seed."""
    recipe = default_recipe(job.network, job.data).changed(data_dir=data_dir)
    accuracies, validation, seconds, parameters = [], [], [], 0
    for seed in range(num_seeds):
        started = time.perf_counter()
        run = lw.fit(recipe=recipe, seed=seed)
        seconds.append(time.perf_counter() - started)
        if run.test is None or run.best is None:
            raise SystemExit(f"{job.name} expected a validation and a test split")
        accuracies.append(run.test[job.metric])
        validation.append(run.best["validation"][job.metric])
        parameters = sum(parameter.numel() for parameter in run.network.parameters())
        console.print(
            f"{job.name} seed {seed}: validation {100 * validation[-1]:.2f} %, "
            f"test {100 * accuracies[-1]:.2f} %, {seconds[-1]:.0f} s"
        )
    reached = (
        statistics.mean(accuracies) >= job.mean
        and min(accuracies) >= job.worst
        and max(seconds) <= job.seconds
    )
    return Result(job.name, recipe.epochs, parameters, accuracies, validation, seconds, reached)


def main() -> int:
    """Run the jobs, print the table, and return 1 if one missed its aim or none was run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", default=os.environ.get("LAYERWRIGHT_DATA_DIR"))
    parser.add_argument("--only", nargs="*", choices=[job.name for job in JOBS])
    parser.add_argument("--seeds", type=int, help="fewer seeds than the table asks for")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110)
    results = []
    for job in JOBS:
        if arguments.only and job.name not in arguments.only:
            continue
        if job.data not in BUNDLED and arguments.data_dir is None:
            console.print(f"{job.name}: not measured, no --data-dir or LAYERWRIGHT_DATA_DIR")
            continue
        num_seeds = min(arguments.seeds or job.num_seeds, job.num_seeds)
        results.append(run_job(job, arguments.data_dir, num_seeds, console))
    table = Table(title=f"test accuracy, {torch.get_num_threads()} threads")
    for column in ("network-data", "parameters", "epochs", "seconds", "mean", "lowest", "highest"):
        table.add_column(column, justify="right")
    table.add_column("aim")
    aims = {job.name: job for job in JOBS}
    for result in results:
        scores = [100 * value for value in result.accuracies]
        aim = aims[result.name]
        outcome = f"{100 * aim.mean:.1f} %: {'reached' if result.reached else 'MISSED'}"
        table.add_row(
            f"{result.name}{f', {aim.metric}' if aim.metric != 'accuracy' else ''}",
            f"{result.parameters:,}",
            str(result.epochs),
            f"{statistics.median(result.seconds):.0f}",
            f"{statistics.mean(scores):.2f} %",
            f"{min(scores):.2f} %",
            f"{max(scores):.2f} %",
            outcome if aim.mean else "none",
        )
    console.print(table)
    if arguments.json:
        rows = [asdict(result) for result in results]
        arguments.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1))
    return 0 if results and all(result.reached for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
