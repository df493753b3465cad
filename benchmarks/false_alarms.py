"""Findings on code that is right: all of torch.nn, and this project's layers and networks.

Prints, for each rule, on how many modules it judged, passed, failed and was skipped, with the
reasons, and then every finding. No finding of severity error is allowed.

    python benchmarks/false_alarms.py                    the first input of each entry
    python benchmarks/false_alarms.py --all-inputs --tier full --markdown docs/false_alarms.md
"""

import argparse
import json
import platform
import sys
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median

import torch

from corpus.our_layers import our_layers
from corpus.torch_nn import torch_modules
from layerwright.contract.catalog import catalog
from layerwright.contract.check import check
from layerwright.contract.finding import Report
from layerwright.contract.rule import Tier


def reports(*, all_inputs: bool, tier: Tier) -> list[tuple[str, Report]]:
    """Check every module in both modes; return its name and mode, and the report."""
    found: list[tuple[str, Report]] = []
    for training in (False, True):
        mode = "train" if training else "eval"
        found.extend(
            (f"{case.name}, {mode}", check(case, tier=tier))
            for case in (
                *torch_modules(training=training, all_inputs=all_inputs),
                *our_layers(training=training),
            )
        )
    return found


def table(found: list[tuple[str, Report]]) -> list[str]:
    """Return the lines of the table, in Markdown."""
    lines = [
        "| rule | judged | passed | failed | skipped | why skipped (times) |",
        "| ---- | -----: | -----: | -----: | ------: | ------------------- |",
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
        why = "; ".join(f"{text} ({n})" for text, n in reasons[rule_id].most_common(3))
        lines.append(
            f"| {rule_id} {names[rule_id]} | {judged} | {counts['passed']} | "
            f"{counts['failed']} | {skipped} | {why} |"
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
    parser.add_argument("--all-inputs", action="store_true")
    parser.add_argument("--tier", choices=("standard", "full"), default="standard")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = reports(all_inputs=options.all_inputs, tier=options.tier)
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
    return 1 if severities["error"] or crashed else 0


if __name__ == "__main__":
    sys.exit(main())
