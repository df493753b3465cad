"""The words that all reports share: verdict, counts, reasons, crashes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from layerwright.reports.root_causes import causes

if TYPE_CHECKING:
    from layerwright.contract.finding import Report, Result

SEVERITIES = ("error", "warning", "note")
OUTCOMES = ("passed", "failed", "skipped", "xfailed", "xpassed", "error")


def counted(number: int, noun: str) -> str:
    """Return "1 error", "2 errors"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def verdict(report: "Report") -> str:
    """Return "ok", "not judged", or the findings by severity, such as "1 error, 8 that follow"."""
    if not report.judged:
        return "not judged"
    roots = causes(report)
    severities: Counter[str] = Counter(cause.finding.severity or "error" for cause in roots)
    parts = [counted(severities[name], name) for name in SEVERITIES if severities[name]]
    num_following = sum(len(cause.consequences) for cause in roots)
    if num_following:
        parts.append(f"{num_following} that follow")
    return ", ".join(parts) or "ok"


def subject_place(report: "Report") -> str:
    """Return the layer's name, with file and line if they are known."""
    if report.file is None:
        return report.subject
    line = "" if report.line is None else f":{report.line}"
    return f"{report.subject} ({Path(report.file).name}{line})"


def outcome_words(outcome: str, number: int) -> str:
    """Return how many rules came to an outcome, in words."""
    words = {
        "xfailed": counted(number, "expected failure"),
        "xpassed": f"{number} unexpected pass{'es' if number > 1 else ''}",
        "error": f"{counted(number, 'rule')} crashed",
    }
    return words.get(outcome, f"{number} {outcome}")


def counts_in_words(counts: Mapping[str, int], reasons: str = "") -> str:
    """Return "62 passed, 1 failed, 11 skipped (reasons), 1 expected failure"."""
    parts = []
    for outcome in OUTCOMES:
        if counts.get(outcome):
            why = f" ({reasons})" if reasons and outcome == "skipped" else ""
            parts.append(outcome_words(outcome, counts[outcome]) + why)
    return ", ".join(parts) or "no rule ran"


def skip_reasons(results: Iterable["Result"]) -> list[tuple[str, int]]:
    """Return why rules were skipped and how many each time, the most frequent reason first."""
    return Counter(
        result.reason or "no reason given" for result in results if result.outcome == "skipped"
    ).most_common()


def crash_words(result: "Result") -> str:
    """Return what to say of a rule that crashed."""
    return (
        f"layerwright's own rule {result.rule_id} {result.rule_name} crashed: "
        f"{result.reason.rstrip('. ')}. This is our bug, not the layer's."
    )


def xpass_words(result: "Result") -> str:
    """Return what to say of a rule that passed and was expected to fail."""
    return (
        f"{result.rule_id} {result.rule_name} passed and was expected to fail "
        f"({result.reason.rstrip('. ')}). Take it off the expected failures."
    )


def seconds_in_words(seconds: float) -> str:
    """Return "421 ms", "2.31 s" or "12 s"."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"


def totals(reports: Sequence["Report"]) -> str:
    """Return what several reports come to together."""
    if not reports:
        return "no layer was checked"
    verdicts = Counter(
        "ok" if report.ok else "failed" if report.judged else "not judged" for report in reports
    )
    counts = sum((report.counts for report in reports), Counter[str]())
    seconds = sum(report.seconds for report in reports)
    num_imperfect = sum(report.ok and bool(report.findings) for report in reports)
    warned = f" ({num_imperfect} of them with warnings or notes)" if num_imperfect else ""
    layers = ", ".join(
        f"{verdicts[name]} {name}" + (warned if name == "ok" else "")
        for name in ("ok", "failed", "not judged")
        if verdicts[name]
    )
    return (
        f"{counted(len(reports), 'layer')}: {layers}; "
        f"rules: {counts_in_words(counts)} in {seconds_in_words(seconds)}"
    )
