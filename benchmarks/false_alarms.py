r"""Findings on code that is right: all of torch.nn, and this project's layers and networks.

Prints, for each rule, on how many modules it judged, passed, failed and was skipped, with the
reasons, and then every finding. No finding of severity error is allowed.

    python benchmarks/false_alarms.py                    the first input of each entry
    python benchmarks/false_alarms.py --all-inputs --tier full --workers 2 \
        --markdown docs/false_alarms.md
    python benchmarks/false_alarms.py --of ours --tier full --strict        this project's own

"Of its domain" is the share of modules that a rule judged among those that its page says it judges:
reasons in _UNABLE count against it, all other reasons to skip are limits that the page states.
"""

import argparse
import json
import platform
import sys
import warnings
from collections import Counter, defaultdict
from concurrent.futures import ProcessPoolExecutor
from fnmatch import fnmatchcase
from functools import partial
from itertools import chain
from multiprocessing import get_context
from operator import itemgetter
from pathlib import Path
from statistics import median

import torch

from corpus.our_layers import our_layers
from corpus.torch_nn import torch_modules
from layerwright.contract.catalog import catalog
from layerwright.contract.check import check
from layerwright.contract.finding import Report
from layerwright.contract.rule import Tier

# Reasons to skip that no page states: the rule was asked and could not tell.
_UNABLE = (
    "no dimension with independent samples was found, and the pass cannot be followed",
    "copies of its parameters",
)


def reports(
    *, of: str, only: str, all_inputs: bool, tier: Tier, workers: int
) -> list[tuple[str, Report]]:
    """Check every module in both modes; return its name and mode, and the report."""
    share = partial(_share, of=of, only=only, all_inputs=all_inputs, tier=tier, workers=workers)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        shares = list(pool.map(share, range(workers)))
    return [item for _, item in sorted(chain(*shares), key=itemgetter(0))]


def _share(
    worker: int, *, of: str, only: str, all_inputs: bool, tier: Tier, workers: int
) -> list[tuple[int, tuple[str, Report]]]:
    """Check every module whose number belongs to one of the workers."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    cases = (
        (case, mode)
        for mode, training in (("eval", False), ("train", True))
        for case in (
            *(torch_modules(training=training, all_inputs=all_inputs) if of != "ours" else ()),
            *(our_layers(training=training) if of != "torch" else ()),
        )
    )
    found = []
    for number, (case, mode) in enumerate(cases):
        if number % workers == worker and fnmatchcase(case.name, only):
            name = f"{case.name}, {mode}"
            report = check(case, tier=tier)
            loud = [str(item) for item in report.findings if item.severity == "error"]
            print(f"{number} {name}", *loud, sep="\n", file=sys.stderr)  # a run takes an hour
            found.append((number, (name, report)))
    return found


def table(found: list[tuple[str, Report]]) -> list[str]:
    """Return the lines of the table, in Markdown."""
    lines = [
        "| rule | judged | passed | failed | skipped | of its domain | why skipped (times) |",
        "| ---- | -----: | -----: | -----: | ------: | ------------: | ------------------- |",
    ]
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for _, report in found:
        for result in report.results:
            outcomes[result.rule_id][result.outcome] += 1
            if result.outcome in {"skipped", "error"}:
                reasons[result.rule_id][_short(result.reason)] += 1
    names = {rule.id: rule.name for rule in catalog()}
    for rule_id, counts in outcomes.items():
        skipped = counts["skipped"]
        judged = sum(counts.values()) - skipped
        unable = sum(n for text, n in reasons[rule_id].items() if text.startswith(_UNABLE))
        share = f"{judged / (judged + unable):.0%}" if judged + unable else "-"
        why = "; ".join(f"{text} ({n})" for text, n in reasons[rule_id].most_common(3))
        lines.append(
            f"| {rule_id} {names[rule_id]} | {judged} | {counts['passed']} | "
            f"{counts['failed']} | {skipped} | {share} | {why} |"
        )
    return lines


def _short(reason: str) -> str:
    """Group reasons that differ in their numbers only."""
    for cut in (" raised ", " (", ": "):
        head, found, _ = reason.partition(cut)
        reason = head + found.rstrip(" (:") if found else reason
    return reason.replace("|", "/")[:90]


def main() -> int:
    """Print the table and the findings; return 1 if one is an error or a rule crashed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--of", choices=("all", "torch", "ours"), default="all")
    parser.add_argument("--only", default="*", help="names of modules, such as 'nn.Transformer*'")
    parser.add_argument("--all-inputs", action="store_true")
    parser.add_argument("--tier", choices=("standard", "full"), default="standard")
    parser.add_argument("--workers", type=int, default=1, help="processes that share the work")
    parser.add_argument("--strict", action="store_true", help="allow no warning either")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = reports(
        of=options.of,
        only=options.only,
        all_inputs=options.all_inputs,
        tier=options.tier,
        workers=options.workers,
    )
    if not found:
        parser.error(f"--only expected a pattern that fits a module, received {options.only!r}")
    findings = [(name, item) for name, report in found for item in report.findings]
    crashed = [
        (name, result)
        for name, report in found
        for result in report.results
        if result.outcome == "error"
    ]
    severities = Counter(item.severity for _, item in findings)
    lines = [
        "# Findings on code that is right",
        "",
        (
            f"`python benchmarks/false_alarms.py {' '.join(sys.argv[1:])}`, torch "
            f"{torch.__version__}, Python {platform.python_version()}."
        ),
        "",
        (
            f"{len(found)} checks, each module in eval and in training mode: "
            f"{severities['error']} errors, {severities['warning']} warnings, "
            f"{severities['note']} notes, {len(crashed)} rules crashed; "
            f"{median(report.seconds for _, report in found):.2f} s median."
        ),
        "",
        *table(found),
        "",
        "## Every finding",
        "",
        *(
            f"- {item.severity}: {item.rule_id} {item.rule_name} on {name}: {item.where}: "
            f"{item.found}"
            for name, item in findings
        ),
        *(f"- CRASH: {result.rule_id} on {name}: {result.reason}" for name, result in crashed),
    ]
    print("\n".join(lines))
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if options.json:
        content = {"checks": len(found), "findings": dict(severities), "crashed": len(crashed)}
        options.json.write_text(json.dumps(content), encoding="utf-8")
    faults = severities["error"] + (severities["warning"] if options.strict else 0)
    return 1 if faults or crashed else 0


if __name__ == "__main__":
    sys.exit(main())
