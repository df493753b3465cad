"""Who finds the broken layers of the zoo, and who accuses their sound twins.

layerwright beside gradcheck alone, torchtest2 and pytest-torch, on the same layers in the same
run. A tool that raises counts as having found a broken layer, and as accusing a sound one only if
it says that a check failed; how often it raised is printed. The zoo was written by the authors of
layerwright: the comparison shows what kinds of faults the tools look for, not how good they are.

    pip install torchtest2 pytest-torch
    python benchmarks/detection.py
"""

import argparse
import contextlib
import importlib.util
import io
import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from corpus import other_tools
from corpus.zoo import case_of, zoo
from layerwright.contract.case import Case
from layerwright.contract.check import check


def layerwright(case: Case) -> bool:
    """Tell whether the full tier reports an error or a warning."""
    report = check(case, tier="full")
    return any(item.severity != "note" for item in report.findings)


TOOLS: dict[str, Callable[[Case], bool]] = {
    "layerwright": layerwright,
    "gradcheck": other_tools.gradcheck,
    "torchtest2": other_tools.torchtest2,
    "pytest-torch": other_tools.pytest_torch,
}


def main() -> int:
    """Print the table; return 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--verbose", action="store_true", help="name what each tool misses")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    packages = {"torchtest2": "torchtest2", "pytest-torch": "pytest_torch"}
    tools = {
        name: tool
        for name, tool in TOOLS.items()
        if name not in packages or importlib.util.find_spec(packages[name])
    }
    found, accused, raised = Counter[str](), Counter[str](), Counter[str]()
    entries = list(zoo())
    for entry_name, entry in entries:
        for which in ("Broken", "Sound"):
            for name, tool in tools.items():
                try:
                    with contextlib.redirect_stdout(io.StringIO()), torch.random.fork_rng():
                        says = tool(case_of(entry, which))
                except Exception:  # noqa: BLE001 - the layer's or the tool's: both end the check
                    raised[name] += 1
                    says = which == "Broken"
                (found if which == "Broken" else accused)[name] += says
                if options.verbose and says != (which == "Broken"):
                    print(f"{name} is wrong on {entry_name}, {which}")
    print(f"{len(entries)} broken layers and their sound twins, torch {torch.__version__}")
    print(f"{'tool':14}{'found':>8}{'share':>8}{'twins accused':>15}{'raised':>8}")
    for name in TOOLS:
        if name not in tools:
            print(f"{name:14} not measured: not installed")
            continue
        share = found[name] / len(entries)
        print(f"{name:14}{found[name]:8}{share:8.0%}{accused[name]:15}{raised[name]:8}")
    if options.json:
        content = {
            name: {"found": found[name], "accused": accused[name], "raised": raised[name]}
            for name in tools
        }
        options.json.write_text(json.dumps({"layers": len(entries)} | content), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
