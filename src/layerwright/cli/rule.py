"""`layerwright rule`: one rule's page."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from layerwright.cli.output import print_json

if TYPE_CHECKING:
    from layerwright.contract.outside import OutsideFault


def rule(
    name: str,
    /,
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
) -> int:
    """Print what a rule of the contract checks, why, and how to fix what it finds.

    Args:
        name: the rule's id or name: GRD001, wrong-gradient.
        as_json: print one JSON object.
    """
    from layerwright.cli.project_config import project_config
    from layerwright.contract.catalog import catalog, find_rule
    from layerwright.contract.outside import OUTSIDE_FAULTS
    from layerwright.contract.page import domain_of, page_of

    for fault in OUTSIDE_FAULTS:
        if name.upper() == fault.id or name == fault.name:
            return _print_outside(fault, as_json=as_json)
    rules = catalog(project_config().rules)
    found = find_rule(name, rules)
    page = page_of(found)
    if as_json:
        facts = ("id", "name", "promise", "family", "severity", "tier", "since", "status")
        print_json(
            {key: getattr(found, key) for key in facts}
            | {
                "judges_if": domain_of(found),
                "summary": page.summary,
                "sections": dict(page.sections),
            }
        )
        return 0
    print(f"{found.id} {found.name}")
    print(f"\nPromise: {found.promise}.")
    runs = f", runs with {found.runs_with}" if found.runs_with else ""
    print(f"A breach is {_article(found.severity)}{runs}. Since {found.since}, {found.status}.")
    if domain_of(found):
        print(f"Judges a layer if: {domain_of(found)}.")
    if found.excused_by:
        print(f"Traits that excuse a layer: {', '.join(found.excused_by)}.")
    print(f"\n{page.summary}")
    for heading, text in page.sections.items():
        print(f"\n## {heading}\n{text}")
    related = [other for other in rules if other.family == found.family and other is not found]
    if related:
        print(f"\nIn the same family: {', '.join(f'{item.id} {item.name}' for item in related)}")
    return 0


def _print_outside(fault: "OutsideFault", *, as_json: bool) -> int:
    """Print the page of what goes wrong before a rule can look."""
    if as_json:
        print_json(asdict(fault))
    else:
        print(f"{fault.id} {fault.name}\n\nPromise: {fault.promise}.\n\n{fault.page}")
        print(f"\n## How to fix\n{fault.fix[0].upper()}{fault.fix[1:]}.")
    return 0


def _article(severity: str) -> str:
    return f"{'an' if severity == 'error' else 'a'} {severity}"
