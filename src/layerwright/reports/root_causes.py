"""Findings in families: a root cause, and the findings that it explains."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from layerwright.contract.finding import Finding, Report

_MOST = 3  # names of parts in one line


@dataclass(frozen=True)
class Cause:
    """A finding that stands for itself.

    Args:
        finding: the root.
        consequences: the findings that it explains, directly or through another.
        others: findings of the same rule on the same line that say the same of other parts, such as
            the other layers of a Python list.
    """

    finding: "Finding"
    consequences: tuple["Finding", ...] = ()
    others: tuple["Finding", ...] = ()

    @property
    def where(self) -> str:
        """The parts of the layer that are concerned: three, and how many more."""
        names = list(dict.fromkeys(item.where for item in (self.finding, *self.others)))
        more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
        return ", ".join(names[:_MOST]) + more


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
    alike: dict[object, list[Finding]] = {}
    for finding in standing:
        alike.setdefault(_sameness(finding), []).append(finding)
    return [
        Cause(first, tuple(families.get(id(first), ())), tuple(others))
        for first, *others in alike.values()
    ]


def _sameness(finding: "Finding") -> object:
    """Return what findings have in common that are one fault: the line, and all words but where."""
    if finding.line is None:
        return id(finding)
    return (
        finding.rule_id,
        finding.severity,
        finding.file,
        finding.line,
        finding.expected,
        finding.found,
        finding.fix,
    )


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
