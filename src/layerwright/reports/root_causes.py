"""Findings in families: a root cause, and the findings that it explains."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerwright.contract.finding import Finding, Report


@dataclass(frozen=True)
class Cause:
    """A finding that stands for itself.

    Args:
        finding: the root.
        consequences: the findings that it explains, directly or through another.
    """

    finding: "Finding"
    consequences: tuple["Finding", ...] = ()


def causes(report: "Report") -> list[Cause]:
    """Return the root causes of a report in the order of its findings.

    A finding whose explanation is not among the findings, because that rule was expected to fail
    for example, stands for itself: nothing is hidden.
    """
    roots: dict[str, Finding] = {}
    for finding in report.findings:
        if finding.explained_by is None:
            roots.setdefault(finding.rule_id, finding)
    explained_by = {
        finding.rule_id: finding.explained_by
        for finding in report.findings
        if finding.explained_by is not None
    }
    families: dict[int, list[Finding]] = {id(finding): [] for finding in roots.values()}
    standing = []
    for finding in report.findings:
        root = _root(finding, roots, explained_by)
        if root is None:
            standing.append(finding)
        else:
            families[id(root)].append(finding)
    return [Cause(finding, tuple(families.get(id(finding), ()))) for finding in standing]


def _root(
    finding: "Finding", roots: dict[str, "Finding"], explained_by: dict[str, str]
) -> "Finding | None":
    """Follow the explanations to a finding that needs none; None if they lead nowhere."""
    rule_id, seen = finding.explained_by, set[str]()
    while rule_id is not None and rule_id not in seen:
        if rule_id in roots:
            return roots[rule_id]
        seen.add(rule_id)
        rule_id = explained_by.get(rule_id)
    return None
