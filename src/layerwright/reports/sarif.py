"""The report as SARIF 2.1.0, which code hosts and editors show beside the source."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from layerwright.reports.characters import encodable
from layerwright.reports.source import path_from_here
from layerwright.reports.wording import (
    SEVERITIES,
    counted,
    crash_words,
    skip_reasons,
    xpass_words,
)

if TYPE_CHECKING:
    from layerwright.contract.finding import Finding, Report, Result

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"  # a name, which nobody fetches here


def render_sarif(reports: Sequence["Report"]) -> str:
    """Return reports as one SARIF run.

    Findings are its results; those of rules that were expected to fail are suppressed results.
    Skipped and crashed rules and notes are notifications of the invocation, which is unsuccessful
    when a rule crashed or no layer at all could be judged.

    Args:
        reports: one for each layer that was checked.

    Returns:
        A SARIF log, in ASCII, with a newline at its end.
    """
    found = [
        (report, result, finding)
        for report in reports
        for result in report.results
        if result.outcome in {"failed", "xfailed"}
        for finding in result.findings
    ]
    rules = _rules([finding for _, _, finding in found])
    positions = {rule["id"]: position for position, rule in enumerate(rules)}
    seen: Counter[str] = Counter()
    driver: dict[str, Any] = {"name": "layerwright"}
    if reports and "layerwright" in reports[0].versions:
        driver["version"] = reports[0].versions["layerwright"]
    driver["rules"] = rules
    invocation = {
        "executionSuccessful": any(report.judged for report in reports)
        and not any(report.counts["error"] for report in reports),
        "toolExecutionNotifications": [
            {"level": level, "message": {"text": encodable(f"{report.subject}: {text}")}}
            for report in reports
            for level, text in _notifications(report)
        ],
    }
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "columnKind": "unicodeCodePoints",
        "results": [
            {"ruleIndex": positions[finding.rule_id], **_result(report, result, finding, seen)}
            for report, result, finding in found
        ],
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, allow_nan=False) + "\n"


def _rules(findings: Sequence["Finding"]) -> list[dict[str, Any]]:
    """Describe the rules that reported something; a rule's level is its severest finding's."""
    rules: dict[str, dict[str, Any]] = {}
    for level in SEVERITIES:
        for finding in findings:
            if (finding.severity or "error") == level and finding.rule_id not in rules:
                rules[finding.rule_id] = {
                    "id": finding.rule_id,
                    "name": finding.rule_name,
                    "shortDescription": {"text": encodable(finding.promise or finding.rule_name)},
                    "help": {"text": f"layerwright rule {finding.rule_id}"},
                    "defaultConfiguration": {"level": level},
                }
    return [rules[rule_id] for rule_id in sorted(rules)]


def _result(
    report: "Report", result: "Result", finding: "Finding", seen: Counter[str]
) -> dict[str, Any]:
    properties = {
        "subject": encodable(report.subject),
        "where": encodable(finding.where),
        "expected": encodable(finding.expected),
        "found": encodable(finding.found),
        "fix": encodable(finding.fix),
        "reproduce": encodable(finding.reproduce),
    }
    if finding.explained_by:
        properties["explainedBy"] = finding.explained_by
    described: dict[str, Any] = {
        "ruleId": finding.rule_id,
        "level": finding.severity or "error",
        "message": {"text": _message(report, finding)},
        "locations": [_location(report, finding)],
        "partialFingerprints": {"layerwright/v1": _fingerprint(report, finding, seen)},
        "properties": properties,
    }
    if result.outcome == "xfailed":
        described["suppressions"] = [
            {"kind": "external", "justification": encodable(result.reason)}
        ]
    return described


def _message(report: "Report", finding: "Finding") -> str:
    expected, found, fix = (
        text.strip().rstrip(".") for text in (finding.expected, finding.found, finding.fix)
    )
    return encodable(
        f"{report.subject}, {finding.where}: expected {expected}; found {found}. Fix: {fix}."
    )


def _location(report: "Report", finding: "Finding") -> dict[str, Any]:
    """Return where a finding lies; without a line of its own it lies at the layer's class."""
    location: dict[str, Any] = {
        "logicalLocations": [
            {"fullyQualifiedName": encodable(f"{report.subject}: {finding.where}")}
        ]
    }
    file, line = (finding.file, finding.line) if finding.file else (report.file, report.line)
    if file and not file.startswith("<"):  # such as <stdin>, which is no file
        location["physicalLocation"] = {"artifactLocation": {"uri": _uri(file)}}
        if line is not None:
            location["physicalLocation"]["region"] = {"startLine": line}
    return location


def _uri(file: str) -> str:
    """Return a URI relative to the working folder if the file lies below it, else an absolute."""
    path = PurePath(path_from_here(encodable(file)))
    if path.is_absolute() or ".." in path.parts:
        return Path(path).absolute().as_uri()
    return quote(path.as_posix())


def _fingerprint(report: "Report", finding: "Finding", seen: Counter[str]) -> str:
    """Return what stays the same when lines move and numbers change."""
    file = path_from_here(finding.file or report.file or "")
    parts = f"{finding.rule_id}\n{report.subject}\n{file}\n{finding.where}"
    seen[parts] += 1
    return hashlib.sha256(encodable(f"{parts}\n{seen[parts]}").encode()).hexdigest()[:32]


def _notifications(report: "Report") -> Iterator[tuple[str, str]]:
    """Yield what a reader must know besides the findings, with its level."""
    if not report.judged:
        yield "error", "not judged, no rule could say anything"
    for result in report.results:
        if result.outcome == "error":
            yield "error", crash_words(result)
        elif result.outcome == "xpassed":
            yield "warning", xpass_words(result)
    for note in report.notes:
        yield "note", note
    for reason, number in skip_reasons(report.results):
        yield "note", f"{counted(number, 'rule')} skipped: {reason}"
