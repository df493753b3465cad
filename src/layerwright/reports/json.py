"""The report for machines: JSON, described by report.schema.json beside this file."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from layerwright.reports.characters import encodable
from layerwright.reports.wording import OUTCOMES

if TYPE_CHECKING:
    from layerwright.contract.finding import Finding, Report, Result

SCHEMA_VERSION = 1


def render_json(reports: Sequence["Report"]) -> str:
    """Return reports as JSON; `schema_version` grows when a key goes or changes its meaning.

    Args:
        reports: one for each layer that was checked.

    Returns:
        One JSON object that report.schema.json describes, in ASCII, with a newline at its end.
    """
    versions = reports[0].versions if reports else {}
    content = {
        "schema_version": SCHEMA_VERSION,
        "layerwright": _text_or_none(versions.get("layerwright")),
        "torch": _text_or_none(versions.get("torch")),
        "python": _text_or_none(versions.get("python")),
        "reports": [_report(report) for report in reports],
    }
    return json.dumps(content, indent=2, allow_nan=False) + "\n"


def _report(report: "Report") -> dict[str, Any]:
    return {
        "subject": encodable(report.subject),
        "file": _text_or_none(report.file),
        "line": report.line,
        "inputs": [encodable(text) for text in report.inputs],
        "tier": report.tier,
        "seed": report.seed,
        "ok": report.ok,
        "seconds": report.seconds,
        "counts": {outcome: report.counts[outcome] for outcome in OUTCOMES},
        "notes": [encodable(text) for text in report.notes],
        "results": [_result(result) for result in report.results],
    }


def _result(result: "Result") -> dict[str, Any]:
    return {
        "rule_id": result.rule_id,
        "rule_name": result.rule_name,
        "family": result.family,
        "outcome": result.outcome,
        "reason": encodable(result.reason),
        "seconds": result.seconds,
        "findings": [_finding(finding) for finding in result.findings],
    }


def _finding(finding: "Finding") -> dict[str, Any]:
    return {
        "rule_id": finding.rule_id,
        "rule_name": finding.rule_name,
        "severity": finding.severity or "error",
        "promise": encodable(finding.promise),
        "where": encodable(finding.where),
        "file": _text_or_none(finding.file),
        "line": finding.line,
        "expected": encodable(finding.expected),
        "found": encodable(finding.found),
        "fix": encodable(finding.fix),
        "reproduce": encodable(finding.reproduce),
        "explained_by": finding.explained_by,
    }


def _text_or_none(text: str | None) -> str | None:
    return None if text is None else encodable(text)
