"""How long a check takes: both tiers over torch.nn, beside torchtest2 and pytest-torch.

Medians over the modules, each measured warm, after one check of another module; the tools take
turns on each module. Baseline of the ratios: pytest-torch's inference contract with its gradient
assertions. Budget: standard tier below 1 s median, full tier below 3 s.

    python benchmarks/check_speed.py [--full] [--repeats 3]
"""

import argparse
import contextlib
import importlib.util
import io
import json
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median, quantiles

import torch

from corpus import other_tools
from corpus.torch_nn import torch_modules
from layerwright.contract.case import Case
from layerwright.contract.check import check

BUDGET_S = {"layerwright, standard": 1.0, "layerwright, full": 3.0}


def seconds_of(tool: Callable[[Case], object], case: Case) -> float | None:
    """Return the time of one run; None if the tool raised."""
    with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng():
        start = time.perf_counter()
        try:
            tool(case)
        except Exception:  # noqa: BLE001 - what it cannot check is not timed
            return None
        return time.perf_counter() - start


def main() -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="measure the full tier too")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=int, help="modules, from the start of the list")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    tools = installed_tools(full=options.full)
    cases = list(torch_modules(training=False))[: options.limit]
    times = measured(tools, cases, options.repeats)
    print(
        f"{len(cases)} modules of torch.nn, {options.repeats} repeats, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    print_table(times)
    if options.json:
        content = {name: median(values) for name, values in times.items()}
        options.json.write_text(json.dumps(content), encoding="utf-8")
    return 0


def installed_tools(*, full: bool) -> dict[str, Callable[[Case], object]]:
    """Return what is measured, by name."""
    tools: dict[str, Callable[[Case], object]] = {"layerwright, standard": check}
    if full:
        tools["layerwright, full"] = partial(check, tier="full")
    if importlib.util.find_spec("torchtest2"):
        tools["torchtest2"] = other_tools.torchtest2
    if importlib.util.find_spec("pytest_torch"):
        tools["pytest-torch"] = other_tools.pytest_torch
    return tools


def measured(
    tools: dict[str, Callable[[Case], object]], cases: list[Case], repeats: int
) -> dict[str, list[float]]:
    """Return the median seconds of each tool on each module that it can check."""
    for tool in tools.values():
        seconds_of(tool, cases[0])
    times: dict[str, list[float]] = {name: [] for name in tools}
    for case in cases:
        runs: dict[str, list[float | None]] = defaultdict(list)
        for _ in range(repeats):
            for name, tool in tools.items():
                runs[name].append(seconds_of(tool, case))
        for name, found in runs.items():
            seconds = [item for item in found if item is not None]
            if len(seconds) == repeats:
                times[name].append(median(seconds))
    return times


def print_table(times: dict[str, list[float]]) -> None:
    """Print a line for each tool."""
    baseline = median(times["pytest-torch"]) if times.get("pytest-torch") else None
    print(f"{'tool':24}{'modules':>8}{'median s':>10}{'95 % s':>9}{'ratio':>8}{'budget':>8}")
    for name, seconds in times.items():
        middle, high = median(seconds), quantiles(seconds, n=20)[-1]
        ratio = f"{middle / baseline:8.2f}" if baseline else f"{'-':>8}"
        budget = f"{BUDGET_S[name]:6.0f} s" if name in BUDGET_S else ""
        print(f"{name:24}{len(seconds):8}{middle:10.3f}{high:9.3f}{ratio}{budget:>8}")
    if baseline is None:
        print("pytest-torch: not measured, not installed")


if __name__ == "__main__":
    sys.exit(main())
