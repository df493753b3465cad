"""A tree LSTM on expressions as trees against an LSTM of its size on the same as sequences.

    python benchmarks/trees_against_sequences.py [--seeds 3] [--epochs N] [--json FILE]

Both learn the same expressions, as often, in batches of the same size, with recipes chosen on the
validation split: `layerwright train --network tree-lstm-classifier --data expressions` and
`--network lstm-classifier --data expression-sequences`. "test" are expressions of other structures
than those of training, "larger" such with 14 to 20 digits where training had 3 to 10. "always the
same" answers the value that is most frequent in training.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

import layerwright as lw
from layerwright.data.expressions import load_expressions
from layerwright.data.splits import TensorSplit
from layerwright.training.default_recipes import default_recipe

LARGER = (14, 20)  # digits of an expression
NETWORKS = {
    "tree-lstm-classifier": ("expressions", "trees"),
    "lstm-classifier": ("expression-sequences", "sequences"),
}


@dataclass(frozen=True)
class Result:
    """The runs of one network, a value for each seed."""

    name: str
    parameters: int
    epochs: int
    test: list[float]
    larger: list[float]
    seconds: list[float]


def measured(network: str, num_seeds: int, epochs: int | None, console: Console) -> Result:
    """Train a network with each seed."""
    data, form = NETWORKS[network]
    recipe = default_recipe(network, data)
    recipe = recipe if epochs is None else recipe.changed(epochs=epochs)
    larger = load_expressions(form, test_leaves=LARGER)
    result = Result(network, 0, recipe.epochs, [], [], [])
    for seed in range(num_seeds):
        started = time.perf_counter()
        run = lw.fit(recipe=recipe, seed=seed)
        result.seconds.append(time.perf_counter() - started)
        result.test.append((run.test or {})["accuracy"])
        result.larger.append(lw.evaluate(run, larger)["accuracy"])
        console.print(
            f"{network} seed {seed}: test {100 * result.test[-1]:.1f} %, larger "
            f"{100 * result.larger[-1]:.1f} %, {result.seconds[-1]:.0f} s"
        )
    parameters = sum(parameter.numel() for parameter in run.network.parameters())
    return Result(**{**asdict(result), "parameters": parameters})


def always_the_same() -> Result:
    """Answer the value that is most frequent in training."""
    shares = []
    for test_leaves in (None, LARGER):
        data = load_expressions(test_leaves=test_leaves)
        splits = [split for split in (data.train, data.test) if isinstance(split, TensorSplit)]
        train, test = (split.targets for split in splits)
        shares.append((test == train.bincount().argmax()).double().mean().item())
    return Result("always the same", 0, 0, shares[:1], shares[1:], [0.0])


def main() -> int:
    """Print the table; return 1 where the tree LSTM is not the better one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, help="others than the recipes have")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110)
    results = [
        *(measured(name, arguments.seeds, arguments.epochs, console) for name in NETWORKS),
        always_the_same(),
    ]
    table = Table(title=f"values of expressions, medians, {torch.get_num_threads()} threads")
    for column in ("network", "parameters", "epochs", "seconds", "test", "range", "larger"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for result in results:
        low, high = 100 * min(result.test), 100 * max(result.test)
        table.add_row(
            result.name,
            f"{result.parameters:,}",
            str(result.epochs),
            f"{statistics.median(result.seconds):.0f}",
            f"{100 * statistics.median(result.test):.1f} %",
            f"{low:.1f} to {high:.1f} %",
            f"{100 * statistics.median(result.larger):.1f} %",
        )
    console.print(table)
    if arguments.json:
        rows = [asdict(result) for result in results]
        arguments.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1))
    trees, sequences, _ = results
    return 0 if statistics.median(trees.test) > statistics.median(sequences.test) else 1


if __name__ == "__main__":
    sys.exit(main())
