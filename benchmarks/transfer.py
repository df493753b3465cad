"""What another run's weights are worth on 500 images: from scratch, frozen features, fine-tuned.

    python benchmarks/transfer.py [--data cifar10] [--data-dir DATA] [--seeds 3] [--json FILE]

CustomNet with batch norm learns the first six classes of a data set from 20,000 images. Then it
learns the other four from 500 images, which no run has seen: each row starts from those weights and
freezes another part of them, or starts from scratch. All rows take as many steps at the same
learning rate, which was tuned for none of them; `--lr` tries another. There is no validation split:
the weights after the last step are tested once. The seed decides the first run, the 500 images and
the initial weights.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console
from rich.table import Table

import layerwright as lw
from layerwright.data.catalog import load_data

if TYPE_CHECKING:
    from layerwright.data.splits import Data

FIRST, OTHER = (0, 1, 2, 3, 4, 5), (6, 7, 8, 9)
SOURCE_IMAGES, IMAGES = 20_000, 500
SOURCE: dict[str, Any] = {"epochs": 4, "lr": 2e-3, "schedule": "one-cycle", "optimizer": "adamw"}
NETWORK: dict[str, Any] = {"network": "customnet", "network_options": {"batch_norm": True}}
TARGET: dict[str, Any] = {
    "epochs": 30,
    "schedule": "one-cycle",
    "optimizer": "adamw",
    "batch_size": 32,
}


@dataclass(frozen=True)
class Way:
    """One row: where it starts, and what it trains.

    Attributes:
        name: for the table.
        transfers: whether it starts from the first run's weights.
        options: of the recipe.
    """

    name: str
    transfers: bool = True
    options: dict[str, Any] = field(default_factory=dict)


WAYS = (
    Way("from scratch", transfers=False),
    Way("frozen, new head only", options={"freeze": ("conv*", "fc1.*")}),
    Way("frozen convolutions", options={"freeze": ("conv*",)}),
    Way("fine-tuned", options={}),
)


def images(
    data: Data, split: str, classes: tuple[int, ...], count: int | None = None, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return images of some classes, numbered from 0, in an order that the seed decides."""
    whole: Any = getattr(data, split)
    chosen = torch.isin(whole.targets, torch.tensor(classes)).nonzero().squeeze(1)
    order = torch.randperm(len(chosen), generator=torch.Generator().manual_seed(seed))
    chosen = chosen[order[:count]]
    return whole.normalization.apply(whole.inputs[0][chosen]), whole.targets[chosen] - classes[0]


def learn(
    data: Data, way: Way, lr: float, source: lw.Run, seed: int, judge: tuple[Any, Any]
) -> tuple[float, float, lw.Run]:
    """Learn the other classes from the 500 images; return accuracy, seconds and the run."""
    train = images(data, "train", OTHER, IMAGES, seed)
    started = time.perf_counter()
    run = lw.fit(
        data={"train": train, "test": judge},
        validation=0.0,
        lr=lr,
        seed=seed,
        device="cpu",
        start_from=source if way.transfers else None,
        **{**NETWORK, **TARGET, **way.options},
    )
    if run.test is None:
        raise SystemExit("expected a finished run")
    return run.test["accuracy"], time.perf_counter() - started, run


def first_run(data: Data, seed: int) -> lw.Run:
    """Learn the first classes."""
    train = images(data, "train", FIRST, SOURCE_IMAGES, seed)
    return lw.fit(data=train, validation=0.0, seed=seed, device="cpu", **NETWORK, **SOURCE)


def main() -> int:
    """Print the table; return 1 if no way of transfer beats training from scratch."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", choices=("cifar10", "mnist"), default="cifar10")
    parser.add_argument("--data-dir", default=os.environ.get("LAYERWRIGHT_DATA_DIR"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 100)
    if arguments.data_dir is None:
        console.print("not measured: no --data-dir or LAYERWRIGHT_DATA_DIR")
        return 0
    data = load_data(arguments.data, data_dir=arguments.data_dir)
    test = images(data, "test", OTHER)
    scores: dict[str, list[float]] = {way.name: [] for way in WAYS}
    seconds: dict[str, list[float]] = {way.name: [] for way in WAYS}
    trained = {}
    for seed in range(arguments.seeds):
        source = first_run(data, seed)
        for way in WAYS:
            score, spent, run = learn(data, way, arguments.lr, source, seed, test)
            scores[way.name].append(score)
            seconds[way.name].append(spent)
            parameters = run.network.parameters()
            trained[way.name] = sum(item.numel() for item in parameters if item.requires_grad)
            print(f"seed {seed}, {way.name}: {100 * score:.2f} % in {spent:.0f} s", flush=True)
    table = Table(
        title=f"{arguments.data}, classes 6 to 9 from {IMAGES} images, {arguments.seeds} seeds"
    )
    for column in ("way", "trained", "mean", "lowest", "highest", "seconds"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for way in WAYS:
        found = [100 * score for score in scores[way.name]]
        table.add_row(
            way.name,
            f"{trained[way.name]:,}",
            f"{statistics.mean(found):.2f} %",
            f"{min(found):.2f} %",
            f"{max(found):.2f} %",
            f"{statistics.median(seconds[way.name]):.1f}",
        )
    console.print(table)
    if arguments.json:
        rows = [
            {
                **asdict(way),
                "trained": trained[way.name],
                "accuracies": scores[way.name],
                "seconds": seconds[way.name],
            }
            for way in WAYS
        ]
        settings = {"torch": torch.__version__, "data": arguments.data, "lr": arguments.lr}
        content = {**settings, "rows": rows}
        arguments.json.write_text(json.dumps(content, indent=1))
    means = [statistics.mean(scores[way.name]) for way in WAYS]
    return 0 if max(means[1:]) > means[0] else 1


if __name__ == "__main__":
    sys.exit(main())
